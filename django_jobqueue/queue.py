"""The front door: ``queues.<name>.add(...)`` for those who have work, ``@job`` for those who do it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypeAlias, TypeVar, Unpack, overload

from asgiref.sync import markcoroutinefunction, sync_to_async

from django_jobqueue.conf import QueueConfig, check_name, get_config, parse_job_options
from django_jobqueue.errors import ConfigError, UnknownQueue
from django_jobqueue.jobs import Declaration, JobDefinition, registry
from django_jobqueue.jobs.places import place_of
from django_jobqueue.states import State

if TYPE_CHECKING:
    from django_jobqueue.models import Run, RunQuerySet
    from django_jobqueue.operations.activities import Actor
    from django_jobqueue.operations.new_runs import AddOptions, Key, Tags
    from django_jobqueue.operations.statistics import Figures
    from django_jobqueue.payloads import Payload

# Jobs are declared before Django's app registry is ready, so what needs models is imported where it is called.

MaybeNone: TypeAlias = Any
"""None, for jobs with an ``on_before_add``. A type checker cannot know which these are, so it lets both pass: with None, all
the others would have to be asked for what they never are."""

P = ParamSpec("P")
R = TypeVar("R")


class Queue:
    """One queue of the project. A value without state: what it is lies in the settings, what it holds in the tables."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<Queue {self.name}>"

    @property
    def config(self) -> QueueConfig:
        """What the settings say of this queue."""
        return get_config().queues[self.name]

    @property
    def jobs(self) -> dict[str, JobDefinition]:
        """The jobs of this queue, by name."""
        return {name: registry.get(self.name, name) for name in registry.names(self.name)}

    def add(
        self,
        job: str,
        payload: Payload | None = None,
        *,
        next_run_at: datetime | str | None = None,
        delay_seconds: float | None = None,
        priority: int | None = None,
        idempotency_key: str | None = None,
        unique_key: str | None = None,
        on_duplicate: Literal["skip", "raise", "replace"] = "skip",
        max_attempts: int | None = None,
        timeout_seconds: float | None = None,
        expires_at: datetime | str | None = None,
        concurrency_key: Key = None,
        rate_key: Key = None,
        tags: Tags = (),
        tenant: Key = None,
        user: Key = None,
        trace_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Run | MaybeNone:
        """Add a run of *job* and return it; it commits and rolls back with the caller's transaction.

        *payload* holds the arguments of the job by name, or is a value of the type that the job declares. The run
        starts at *next_run_at* (a datetime, ISO-8601 text or "now"), or *delay_seconds* from now; by default at once.
        If it has not been started by *expires_at*, it is cancelled. Each attempt may take *timeout_seconds*.
        *concurrency_key* and *rate_key* are what limits count it by, if the job does not find them itself. *tags*,
        *tenant* and *user* (an instance of a model, or its key), *trace_id* and *metadata* (JSON) say more about it.

        An *idempotency_key* that is given again returns the run that it made the first time. If the job is unique, and
        there is already a run with the same *unique_key*, *on_duplicate* decides: ``skip`` returns that run, whose
        ``added`` is False; ``raise`` raises DuplicateRun; ``replace`` cancels that run, if it is still pending. Returns
        None only if the job's ``on_before_add`` does not let the run be added.

        Raises UnknownJob, PayloadError, InvalidRun, DuplicateRun, IdempotencyConflict or KeyContested; nothing is
        written then.
        """
        from django_jobqueue.operations.runs import enqueue

        return enqueue(
            self.name,
            job,
            payload,
            next_run_at=next_run_at,
            delay_seconds=delay_seconds,
            priority=priority,
            idempotency_key=idempotency_key,
            unique_key=unique_key,
            on_duplicate=on_duplicate,
            max_attempts=max_attempts,
            timeout_seconds=timeout_seconds,
            expires_at=expires_at,
            concurrency_key=concurrency_key,
            rate_key=rate_key,
            tags=tags,
            tenant=tenant,
            user=user,
            trace_id=trace_id,
            metadata=metadata,
        )

    async def aadd(self, job: str, payload: Payload | None = None, **options: Unpack[AddOptions]) -> Run | MaybeNone:
        """``add``, from async code."""
        return await sync_to_async(self.add)(job, payload, **options)

    def bulk_add(self, items: Iterable[Mapping[str, Any]]) -> list[int | MaybeNone]:
        """Add a run for each of *items*, mappings of the arguments of ``add``; return their ids in the same order.

        All or none: it is one transaction, in chunks, so *items* may be a generator of any length. If one item is
        refused, none is added, and the error names its index. An item for which ``add`` would return None has None.
        """
        from django_jobqueue.operations.runs import enqueue_many

        return enqueue_many(self.name, items)

    async def abulk_add(self, items: Iterable[Mapping[str, Any]]) -> list[int | MaybeNone]:
        """``bulk_add``, from async code."""
        return await sync_to_async(self.bulk_add)(items)

    def runs(self, state: State | str | None = None) -> RunQuerySet:
        """The runs of this queue, or only those in one state."""
        from django_jobqueue.models import Run

        config = get_config()
        found = Run.objects.using(config.database).filter(namespace=config.namespace, queue=self.name)
        return found if state is None else found.in_state(state)

    def stats(self) -> Figures:
        """How many runs of this queue are in which state."""
        from django_jobqueue import operations

        return operations.stats(self.name).queues[self.name]

    def pause(self, *, actor: Actor, reason: str = "", until: datetime | None = None) -> None:
        """Let no worker claim runs of this queue, for good or *until* a moment. Running ones continue; runs can be added."""
        from django_jobqueue import operations

        operations.pause_queue(self.name, actor=actor, reason=reason, until=until)

    def resume(self, *, actor: Actor, reason: str = "") -> bool:
        """Let workers claim runs of this queue again. Answers whether it was paused."""
        from django_jobqueue import operations

        return operations.resume_queue(self.name, actor=actor, reason=reason)


class Queues:
    """All queues of the project: ``queues.mail``, ``queues["mail"]``, or one after the other."""

    def __getattr__(self, name: str) -> Queue:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> Queue:
        known = get_config().queues
        if name not in known:
            raise UnknownQueue(name, known)
        return Queue(name)

    def __contains__(self, name: object) -> bool:
        return name in get_config().queues

    def __iter__(self) -> Iterator[Queue]:
        return (Queue(name) for name in get_config().queues)

    def __len__(self) -> int:
        return len(get_config().queues)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *get_config().queues]


queues = Queues()
"""The queues of this project."""


class Job(Generic[P, R]):
    """A function that is also a job: called, it is the function; added, it becomes a run."""

    def __init__(self, declaration: Declaration, function: Callable[P, R]) -> None:
        self.declaration = declaration
        self.function = function
        update_wrapper(self, function)
        if inspect.iscoroutinefunction(function):
            markcoroutinefunction(self)

    def __repr__(self) -> str:
        return f"<Job {self.declaration.queue}.{self.declaration.name}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def add(self, payload: Payload | None = None, **options: Unpack[AddOptions]) -> Run | MaybeNone:
        """``Queue.add`` for this job."""
        return queues[self.declaration.queue].add(self.declaration.name, payload, **options)

    async def aadd(self, payload: Payload | None = None, **options: Unpack[AddOptions]) -> Run | MaybeNone:
        """``add``, from async code."""
        return await sync_to_async(self.add)(payload, **options)


@overload
def job(function: Callable[P, R], /) -> Job[P, R]: ...


@overload
def job(*, queue: str = ..., name: str | None = ..., **options: Any) -> Callable[[Callable[P, R]], Job[P, R]]: ...


def job(
    function: Callable[..., Any] | None = None, /, *, queue: str = "default", name: str | None = None, **options: Any
) -> Any:
    """Declare a function to be a job of *queue*, under its own name or *name*. *options* are the job options.

    The settings may declare the same job again, and then win option by option.
    """
    if isinstance(function, str):
        raise TypeError(f"@job takes its options by name: @job(queue={function!r}).")
    if function is not None:
        return _declared(function, queue, name, options)
    return lambda function: _declared(function, queue, name, options)


def schedule(cron: str | None = None, /, **options: Any) -> dict[str, Any]:
    """One of several schedules of a job: ``@job(schedule=[schedule("0 2 * * *"), schedule(every_seconds=60, name=...)])``.

    *options* are the schedule options, and ``name``.
    """
    return options if cron is None else {"cron": cron, **options}


def _declared(function: Callable[P, R], queue: str, name: str | None, options: Mapping[str, Any]) -> Job[P, R]:
    parsed: Mapping[str, Any] = {}
    problems: tuple[str, ...] = ()
    where = f"@job {place_of(function)}"
    try:
        parsed = parse_job_options(where, options)
        check_name(f'{where}["name"]', name or function.__name__)
    except ConfigError as error:  # for the system checks to tell, with all others
        problems = error.problems
    declaration = Declaration(
        queue=queue, name=str(name or function.__name__), function=function, options=parsed, problems=problems
    )
    registry.declare(declaration)
    return Job(declaration, function)
