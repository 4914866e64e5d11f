"""The registry of jobs: what settings and code declare, looked up by queue and name."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from django.core.signals import setting_changed
from django.dispatch import receiver

from django_jobqueue.conf import (
    JobConfig,
    JobOptions,
    QueueConfig,
    check_name,
    contradictions,
    delivery_contradictions,
    get_config,
    timeout_contradictions,
)
from django_jobqueue.errors import ConfigError, InvalidRun, JobQueueError, UnknownJob, UnknownQueue, nearest, shown
from django_jobqueue.jobs.definition import Declaration, JobDefinition
from django_jobqueue.jobs.error_rules import error_rules_of
from django_jobqueue.jobs.functions import function_of, imported_function
from django_jobqueue.jobs.keys import key_of
from django_jobqueue.jobs.secrets import Secrets
from django_jobqueue.jobs.unique_keys import unique_key_of
from django_jobqueue.jobs.upgrades import upgrades_of
from django_jobqueue.payloads import PayloadSchema


class JobRegistry:
    """All jobs of the project. Declaring reads no settings, and nothing is imported or resolved before it is asked for."""

    def __init__(self) -> None:
        self._declared: dict[tuple[str, str], Declaration] = {}
        self._conflicts: dict[tuple[str, str], str] = {}
        self._resolved: dict[tuple[str, str], JobDefinition] = {}
        self._aliases: dict[str, dict[str, list[str]]] = {}
        """The names of the jobs that have an alias, by queue and alias."""

    def declare(self, declaration: Declaration) -> None:
        """Add a job that code declares. A module that is imported again replaces its own declarations."""
        key = declaration.queue, declaration.name
        before = self._declared.setdefault(key, declaration)
        if before.place == declaration.place:
            self._declared[key] = declaration
        else:
            self._conflicts[key] = _conflict(*key, before.place, declaration.place)
        self.forget_resolved()

    def names(self, queue: str) -> list[str]:
        """The names of the jobs of *queue*, sorted."""
        declared = {name for of_queue, name in self._declared if of_queue == queue}
        return sorted(declared.union(_queue_config(queue).jobs))

    def find(self, queue: str, name: object) -> JobDefinition | None:
        """The job of *queue* that has this name, or had it, or None if there is none. Raises ConfigError if it cannot work."""
        if not isinstance(name, str):
            return None
        key = queue, name
        if key not in self._resolved:
            definition = self._resolve(_queue_config(queue), name) or self._renamed(queue, name)
            if definition is None:
                return None
            self._resolved[key] = definition
        return self._resolved[key]

    def get(self, queue: str, name: object) -> JobDefinition:
        """The job *name* of *queue*. Raises UnknownQueue, UnknownJob with the nearest name, or ConfigError.

        An external queue has every job whose name is valid; for another one, raises InvalidRun.
        """
        definition = self.find(queue, name)
        if definition is None and _queue_config(queue).external:
            raise InvalidRun(
                f"job: {shown(name)} is not a valid name. Use ASCII letters, digits, '_', '.', ':' and '-'."
            )
        if definition is None:
            raise UnknownJob(queue, name, self.names(queue))
        return definition

    def secrets(self, queue: str, name: str, version: int | None = None) -> Secrets:
        """What is secret in a payload of that *version* of a job: all of it, where nobody here knows the job."""
        try:
            definition = self.find(queue, name)
        except JobQueueError:
            definition = None
        return Secrets(everything=True) if definition is None else definition.secrets(version)

    def problems(self) -> Iterator[str]:
        """Everything that is wrong with any job, in sentences."""
        queues = get_config().queues
        for declaration in self._declared.values():
            if declaration.queue not in queues:
                yield (
                    f"Job {declaration.name!r} ({declaration.place}) is declared for {declaration.queue!r}, "
                    f"which is not a queue. {nearest(declaration.queue, queues)}"
                )
        for queue in queues:
            for name in self.names(queue):
                try:
                    self.get(queue, name)
                except ConfigError as error:
                    yield from error.problems
            yield from self._alias_problems(queue)

    def forget_resolved(self) -> None:
        """Resolve anew, because the settings have changed, or a declaration."""
        self._resolved.clear()
        self._aliases.clear()

    def _renamed(self, queue: str, name: str) -> JobDefinition | None:
        """The job that had this *name* before."""
        jobs = self._aliases_of(queue).get(name, [])
        if len(jobs) > 1:
            raise ConfigError([_shared_alias(queue, name, jobs)])
        return self.get(queue, jobs[0]) if jobs else None

    def _aliases_of(self, queue: str) -> dict[str, list[str]]:
        if queue not in self._aliases:
            aliases: dict[str, list[str]] = {}
            for name in self.names(queue):
                with suppress(ConfigError):  # told by its own name
                    for alias in self.get(queue, name).options.aliases:
                        aliases.setdefault(alias, []).append(name)
            self._aliases[queue] = aliases
        return self._aliases[queue]

    def _alias_problems(self, queue: str) -> Iterator[str]:
        names = self.names(queue)
        for alias, jobs in self._aliases_of(queue).items():
            if len(jobs) > 1:
                yield _shared_alias(queue, alias, jobs)
            if alias in names:
                yield f"Job {jobs[0]!r} of queue {queue!r}: its alias {alias!r} is the name of a job. Remove it."

    def _resolve(self, queue: QueueConfig, name: str) -> JobDefinition | None:
        if queue.external:
            return (
                _defined(queue, name, Declaration(queue=queue.name, name=name, function=elsewhere), {})
                if _is_valid(name)
                else None
            )
        if conflict := self._conflicts.get((queue.name, name)):
            raise ConfigError([conflict])
        in_settings = queue.jobs.get(name)
        in_code = self._declared.get((queue.name, name))
        if in_settings is not None and in_settings.run is not None:
            imported = _imported(queue.name, in_settings)
            if in_code is not None and in_code.place != imported.place:
                raise ConfigError([_conflict(queue.name, name, in_code.place, imported.place)])
            in_code = in_code or imported
        if in_code is None:
            if in_settings is None:
                return None
            raise ConfigError([f'{_path(queue.name, name)}: has no "run", and no @job declares it.'])
        given_in_settings = in_settings.options if in_settings is not None else {}
        return _defined(queue, name, in_code, given_in_settings)


def _defined(queue: QueueConfig, name: str, declaration: Declaration, in_settings: Any) -> JobDefinition:
    where = f"Job {name!r} of queue {queue.name!r} ({declaration.place})"
    if declaration.problems:
        raise ConfigError(declaration.problems)
    options = JobOptions.merged(queue.job_defaults, declaration.options, in_settings)
    declared = options.payload_schema
    type_ = imported_function(f"{where}: payload_schema", declared) if isinstance(declared, str) else declared
    schema = PayloadSchema.of(declaration.function, type_)
    given = {**declaration.options, **in_settings}
    contradicting = [
        f"{flaw}."
        for flaw in (
            *contradictions(options),
            *timeout_contradictions(options),
            *delivery_contradictions(options),
        )
    ]
    contradicting += _wrong_executor(options.executor, declaration.function)
    if options.atomic and inspect.iscoroutinefunction(declaration.function):
        contradicting.append(
            "atomic needs a plain function, for Django has no transactions in async code: def, not async def."
        )
    wrong_secrets = [*_wrong_secrets(given.get("secret", ()), schema), *_secret_keys(options)]
    if flaws := [*schema.flaws, *contradicting, *wrong_secrets]:
        raise ConfigError([f"{where}: {flaw}" for flaw in flaws])
    if options.unique_key is not None and options.unique is None:
        raise ConfigError([f"{where}: unique_key: not read, because the job is not unique. Say how far, with unique."])
    return JobDefinition(
        queue=queue.name,
        name=name,
        function=declaration.function,
        options=options,
        schema=schema,
        error_rules=error_rules_of(where, options),
        on_before_add=function_of(f'{where}: preflight["on_before_add"]', options.preflight.on_before_add),
        okay_to_run=function_of(
            f'{where}: preflight["okay_to_run"]',
            options.preflight.okay_to_run,
            may_be_async=inspect.iscoroutinefunction(declaration.function),
        ),
        upgrades=upgrades_of(where, options),
        unique_key=unique_key_of(f"{where}: unique_key", options.unique_key, schema),
        **{
            name: key_of(f"{where}: {name}", getattr(options, name), schema, own=name in given)
            for name in ("concurrency_key", "rate_key")
        },
    )


def _wrong_secrets(fields: Iterable[str], schema: PayloadSchema) -> Iterator[str]:
    """What is wrong with the fields that a job calls secret: one that is misspelt would be shown."""
    for field in fields:
        if wrong := schema.unknown_name(field.split(".")):
            yield f"secret names {field!r}, and there is no {wrong.name!r} in its payload. {nearest(*wrong)}"


def _wrong_executor(executor: str | None, function: object) -> Iterator[str]:
    """Whether the function cannot run there."""
    is_async = inspect.iscoroutinefunction(function)
    if executor == "thread" and is_async:
        yield "executor 'thread' runs plain functions, and this is a coroutine function. Leave it out, or use 'process'."
    if executor == "asyncio" and not is_async:
        yield "executor 'asyncio' runs coroutine functions, and this is a plain one. Leave it out, or use 'process'."


def _secret_keys(options: JobOptions) -> Iterator[str]:
    """Which keys would tell a secret: they stand in columns of their own, and in messages about limits."""
    for option in ("concurrency_key", "rate_key"):
        if getattr(options, option) in options.secret:
            yield f"{option} is the secret field {getattr(options, option)!r}. Give a function that returns a hash of it."


def elsewhere(**arguments: Any) -> None:
    """Stands for every job of an external queue."""
    raise NotImplementedError("Another deployment works this queue.")


def _is_valid(name: str) -> bool:
    try:
        check_name("job", name)
    except ConfigError:
        return False
    return True


def _imported(queue: str, job: JobConfig) -> Declaration:
    """The function, or the ``Job``, that the dotted path of a job in the settings names."""
    target = imported_function(f'{_path(queue, job.name)}["run"]', str(job.run))
    declaration = getattr(target, "declaration", None)
    if isinstance(declaration, Declaration):
        return declaration
    return Declaration(queue=queue, name=job.name, function=target)


def _queue_config(queue: str) -> QueueConfig:
    queues = get_config().queues
    if queue not in queues:
        raise UnknownQueue(queue, queues)
    return queues[queue]


def _path(queue: str, job: str) -> str:
    return f'JOBQUEUE["queues"]["{queue}"]["jobs"]["{job}"]'


def _conflict(queue: str, name: str, first: str, second: str) -> str:
    return f"Job {name!r} of queue {queue!r} is bound to two functions: {first} and {second}. Rename one."


def _shared_alias(queue: str, alias: str, jobs: Sequence[str]) -> str:
    return f"Jobs {' and '.join(map(repr, jobs))} of queue {queue!r} have the same alias {alias!r}. Leave it to one."


registry = JobRegistry()
"""The registry of this process."""


@receiver(setting_changed)
def _forget(*, setting: str, **_: Any) -> None:
    if setting == "JOBQUEUE":
        registry.forget_resolved()
