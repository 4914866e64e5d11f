"""The options of a job: what each means, and what it is by default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from django_jobqueue.conf import options, schedules
from django_jobqueue.conf.options import ErrorClass, Function, PayloadKey, Reach, parsed_by, parsers_of
from django_jobqueue.conf.preflight import Preflight, parse_preflight
from django_jobqueue.conf.schedules import ScheduleOptions
from django_jobqueue.limits import Rate
from django_jobqueue.retry import Backoff
from django_jobqueue.states import Delivery

DAY_SECONDS = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """How the runs of one job are worked: all options, resolved."""

    title: str = field(default="", metadata=parsed_by(options.text))
    """What people call the job; empty for its name."""

    description: str = field(default="", metadata=parsed_by(options.text))
    """What the job does, for people."""

    owners: tuple[str, ...] = field(default=(), metadata=parsed_by(options.labels))
    """Who is responsible for the job: at most 20 names of people or teams, each of 1 to 64 characters."""

    stability: str = field(default="stable", metadata=parsed_by(options.one_of("experimental", "stable", "deprecated")))
    """What callers can expect of the job: ``experimental``, ``stable`` or ``deprecated``."""

    version: int = field(default=1, metadata=parsed_by(options.whole(1, 10_000)))
    """The version of the payload, from 1 to 10000. It is stored with each run."""

    upgrades: Mapping[int, Function] = field(default_factory=dict, metadata=parsed_by(options.upgrades))
    """For each version before the current one, the function that takes a payload of it and returns one of the next; or
    its dotted path."""

    aliases: tuple[str, ...] = field(default=(), metadata=parsed_by(options.names(200)))
    """Other names of the job: those that it had, and that waiting runs and old code still use."""

    payload_schema: type[Any] | str | None = field(default=None, metadata=parsed_by(options.optional(options.schema)))
    """What the whole payload must be, if the function has no annotations: a dataclass, a TypedDict or a pydantic model,
    or its dotted path. Annotations are ignored then."""

    payload_schema_id: str = field(default="", metadata=parsed_by(options.text))
    """What others call the schema of the payload; empty for ``queue.job@version``."""

    priority: int = field(default=0, metadata=parsed_by(options.whole(-100, 100)))
    """Priority of runs that are added without one, from -100 to 100: higher runs first."""

    max_attempts: int = field(default=3, metadata=parsed_by(options.whole(1, 1000)))
    """Failed attempts after which a run is dead-lettered, from 1 to 1000."""

    max_crashes: int = field(default=3, metadata=parsed_by(options.whole(1, 1000)))
    """Attempts lost with their worker after which a run is dead-lettered, from 1 to 1000."""

    backoff: Backoff = field(default=Backoff(), metadata=parsed_by(options.backoff))
    """The delays between failed attempts: a mapping, which replaces that of the queue as a whole."""

    retry_on: tuple[ErrorClass, ...] | None = field(
        default=None, metadata=parsed_by(options.optional(options.error_classes))
    )
    """Exception classes, or their dotted paths: an error of any other class ends the run as failed. None: every error is
    retried. ``Retry`` always is, and so are attempts that were cut off."""

    fail_on: tuple[ErrorClass, ...] = field(default=(), metadata=parsed_by(options.error_classes))
    """Exception classes, or their dotted paths: an error of such a class ends the run as failed at once. If ``retry_on``
    names it too, this wins."""

    executor: str | None = field(
        default=None, metadata=parsed_by(options.optional(options.one_of("thread", "asyncio", "process")))
    )
    """How an attempt runs: ``thread``, a plain function in a thread of the worker; ``asyncio``, a coroutine function on its
    event loop; ``process``, either in a child process, which runs nothing else at that time. None: as the function is."""

    timeout_seconds: float | None = field(default=None, metadata=parsed_by(options.optional(options.timeout)))
    """Seconds that an attempt may take, from 0.1 to 604800 (7 days); then the job is told, by an exception where that is
    possible, and the attempt ends as timed out, a failure. None: no limit."""

    hard_timeout_seconds: float | None = field(default=None, metadata=parsed_by(options.optional(options.timeout)))
    """Seconds after which an attempt that did not react to its ``timeout_seconds`` is cut off; no fewer than those.
    None: 10 more. An ``add()`` with another ``timeout_seconds`` moves both."""

    on_dead_letter: str | None = field(default=None, metadata=parsed_by(options.optional(options.name(301))))
    """Name of a job of the same queue, or ``queue.job``: a run of it is added in the transaction that dead-letters a run,
    with the payload ``{"run_id": ...}``."""

    delivery: Delivery = field(default=Delivery.AT_LEAST_ONCE, metadata=parsed_by(options.member(Delivery)))
    """What happens to a run whose attempt was cut off: ``at_least_once`` starts it again, ``at_most_once`` never does."""

    atomic: bool = field(default=False, metadata=parsed_by(options.boolean))
    """Whether what the job writes to the database of the runs is committed together with its completion, or not at all.
    For plain functions; not with ``at_most_once``."""

    expires_after_seconds: float | None = field(
        default=None, metadata=parsed_by(options.optional(options.number(1, 366 * DAY_SECONDS)))
    )
    """Seconds, counted from when it is due, after which a run that has not been started is cancelled; None: it waits
    for ever. From 1 second to 366 days."""

    tags: tuple[str, ...] = field(default=(), metadata=parsed_by(options.labels))
    """Labels of all its runs, in addition to those that ``add()`` gives: at most 20, each of 1 to 64 characters."""

    secret: tuple[str, ...] = field(default=(), metadata=parsed_by(options.payload_fields))
    """Fields of the payload that are shown only to those with the permission ``view_payload``, dotted where nested, such
    as ``card.number``. Keys that Django's error reports hide, such as ``password``, are secret anyway."""

    preflight: Preflight = field(default=Preflight(), metadata=parsed_by(parse_preflight))
    """Functions asked before a run is added, and before it is started: a mapping, which replaces that of the queue as a
    whole."""

    schedule: Mapping[str, ScheduleOptions] = field(default_factory=dict, metadata=parsed_by(schedules.parse_of_job))
    """When runs of the job are added automatically: a cron line, a mapping of schedule options, or a list of these. A
    mapping may also have a ``name``; without it the schedule is called ``queue.job``, which only one of a job can be."""

    concurrent_jobs: int | None = field(default=None, metadata=parsed_by(options.optional(options.whole(1))))
    """Attempts of the job that may run at once, across all workers; None: limited only by the queue."""

    concurrency_key: Function | None = field(default=None, metadata=parsed_by(options.optional(options.key_source)))
    """What ``concurrent_jobs_per_key`` counts by: a field of the payload, or the dotted path of a function that takes
    the payload and returns the key. Runs without a key are not limited by it."""

    concurrent_jobs_per_key: int | None = field(default=None, metadata=parsed_by(options.optional(options.whole(1))))
    """Attempts of the same ``concurrency_key`` that may run at once, across all workers. It counts in the job; declared on
    the queue, it counts in the queue."""

    keep_order: bool = field(default=False, metadata=parsed_by(options.boolean))
    """Whether the runs of the same ``concurrency_key`` are worked in the order of adding, retries included: the next one
    starts when the one before has ended. Requires ``concurrent_jobs_per_key`` 1."""

    rate_limit: Rate | None = field(default=None, metadata=parsed_by(options.optional(options.rate)))
    """Most attempts of the job that may start in a period, across all workers, such as "100/m", or "5/10s": so many per
    second (s), minute (m), hour (h) or day (d), evenly spread. None for no limit."""

    rate_burst: int = field(default=1, metadata=parsed_by(options.whole(1)))
    """Attempts that may start at once after ``rate_limit`` was not used up for a while."""

    rate_key: Function | None = field(default=None, metadata=parsed_by(options.optional(options.key_source)))
    """What ``rate_limit`` counts by: a field of the payload, or the dotted path of a function that takes the payload and
    returns the key. Each key has a rate of its own; runs without a key share one."""

    unique: Reach | None = field(default=None, metadata=parsed_by(options.optional(options.reach)))
    """How long no other run with the same key is added: ``pending`` until it is started, ``live`` until it has ended, or a
    number of seconds, for each window of that length, whatever becomes of it. From 1 second to 366 days."""

    unique_key: PayloadKey | None = field(default=None, metadata=parsed_by(options.optional(options.payload_key)))
    """What makes two runs of a unique job the same: a field of the payload, a list of fields, or a function of the payload
    that returns text, or its dotted path. None: the payload as a whole."""

    @classmethod
    def merged(cls, *partials: Mapping[str, Any]) -> Self:
        """Return the options of all *partials*, each of them parsed, where later ones win over earlier ones."""
        together: dict[str, Any] = {}
        for partial in partials:
            together.update(partial)
        return cls(**together)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobConfig:
    """A job as the settings declare it: a dotted path, or a mapping of any job options and ``run``."""

    name: str
    """The key of the job in ``jobs`` of its queue."""

    run: str | None = field(default=None, metadata=parsed_by(options.dotted_path))
    """Dotted path of the function; None where code declares the job, and the settings only change its options."""

    options: Mapping[str, Any] = field(default_factory=dict)
    """The job options that are given here, parsed."""


def _parse_job(path: str, value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {"run": options.dotted_path(path, value)}
    parsed = options.section(path, value, parsers_of(JobOptions) | parsers_of(JobConfig))
    return {"run": parsed.pop("run", None), "options": parsed}


def parse_jobs(path: str, value: object) -> dict[str, JobConfig]:
    given = options.named(path, value, options.name(200), _parse_job)
    return {name: JobConfig(name=name, **job) for name, job in given.items()}


def parse_job_options(where: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the job options that are *given* in code, parsed. *where* begins each problem of the ConfigError."""
    return options.section(where, given, parsers_of(JobOptions))


def check_name(where: str, name: object) -> None:
    """Raise ConfigError unless *name* can be that of a job."""
    options.name(200)(where, name)
