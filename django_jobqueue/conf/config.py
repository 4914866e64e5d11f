"""The configuration: what each option means and what it is by default, and how settings become it.

Every option is one field of a dataclass. Its parser is in the metadata of the field, its meaning in the docstring below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Self

from django.conf import settings
from django.core.signals import setting_changed
from django.dispatch import receiver

from django_jobqueue.conf import options, schedules
from django_jobqueue.conf.cleanup import Cleanup, ProjectCleanup, parse_cleanup, parse_project_cleanup
from django_jobqueue.conf.contradictions import contradictions
from django_jobqueue.conf.options import ErrorClass, Function, PayloadKey, Reach, parsed_by, parsers_of
from django_jobqueue.conf.preflight import Preflight, parse_preflight
from django_jobqueue.conf.schedules import ScheduleConfig, ScheduleOptions
from django_jobqueue.errors import ConfigError
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
    """Who answers for the job: at most 20 names of people or teams, each of 1 to 64 characters."""

    stability: str = field(default="stable", metadata=parsed_by(options.one_of("experimental", "stable", "deprecated")))
    """What those who add runs may expect of the job: ``experimental``, ``stable`` or ``deprecated``."""

    version: int = field(default=1, metadata=parsed_by(options.whole(1, 10_000)))
    """The version of the payload, from 1 to 10000. It is stored with each run."""

    upgrades: Mapping[int, Function] = field(default_factory=dict, metadata=parsed_by(options.upgrades))
    """For each version before the current one, the function that takes a payload of it and returns one of the next; or
    its dotted path."""

    aliases: tuple[str, ...] = field(default=(), metadata=parsed_by(options.names(200)))
    """Other names of the job: those that it had, and that waiting runs and old code still use."""

    payload_schema: type[Any] | str | None = field(default=None, metadata=parsed_by(options.optional(options.schema)))
    """What the whole payload must be, where the function has no annotations: a dataclass, a TypedDict or a model of
    pydantic, or its dotted path. The annotations are not read then."""

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
    """Exception classes, or their dotted paths: an error of any other class ends the run as failed. None: each is tried
    again. ``Retry`` always is, and so are attempts that were cut off."""

    fail_on: tuple[ErrorClass, ...] = field(default=(), metadata=parsed_by(options.error_classes))
    """Exception classes, or their dotted paths: an error of such a class ends the run as failed at once. Where
    ``retry_on`` names it too, this counts."""

    executor: str | None = field(
        default=None, metadata=parsed_by(options.optional(options.one_of("thread", "asyncio", "process")))
    )
    """How an attempt runs: ``thread``, a plain function in a thread of the worker; ``asyncio``, a coroutine function on its
    event loop; ``process``, either in a child process, which runs nothing else at that time. None: as the function is."""

    timeout_seconds: float | None = field(default=None, metadata=parsed_by(options.optional(options.timeout)))
    """Seconds that an attempt may take, from 0.1 to 604800 (7 days); then the job is told, by an exception where that is
    possible, and the attempt ends as timed out, a failure. None: as long as it likes."""

    hard_timeout_seconds: float | None = field(default=None, metadata=parsed_by(options.optional(options.timeout)))
    """Seconds after which an attempt that did not heed its ``timeout_seconds`` is cut off; at least as many as these. None:
    10 more. An ``add()`` with another ``timeout_seconds`` moves both."""

    on_dead_letter: str | None = field(default=None, metadata=parsed_by(options.optional(options.name(301))))
    """Name of a job of the same queue, or ``queue.job``: a run of it is added in the transaction that dead-letters a run,
    with the payload ``{"run_id": ...}``."""

    delivery: Delivery = field(default=Delivery.AT_LEAST_ONCE, metadata=parsed_by(options.member(Delivery)))
    """What happens to a run whose attempt was cut off: ``at_least_once`` starts it again, ``at_most_once`` never does."""

    expires_after_seconds: float | None = field(
        default=None, metadata=parsed_by(options.optional(options.number(1, 366 * DAY_SECONDS)))
    )
    """Seconds, counted from when it is due, after which a run that has not been started is cancelled; None: it waits
    for ever. From 1 second to 366 days."""

    tags: tuple[str, ...] = field(default=(), metadata=parsed_by(options.labels))
    """Labels of all its runs, beside those that ``add()`` gives: at most 20, each of 1 to 64 characters."""

    secret: tuple[str, ...] = field(default=(), metadata=parsed_by(options.payload_fields))
    """Fields of the payload that are shown only to those with the permission ``view_payload``, dotted where nested, such
    as ``card.number``. Keys that Django's error reports hide, such as ``password``, are secret anyway."""

    preflight: Preflight = field(default=Preflight(), metadata=parsed_by(parse_preflight))
    """Who is asked before a run is added, and before it is started: a mapping, which replaces that of the queue as a
    whole."""

    schedule: Mapping[str, ScheduleOptions] = field(default_factory=dict, metadata=parsed_by(schedules.parse_of_job))
    """When runs of the job are added by itself: a cron line, a mapping of schedule options, or a list of these. A mapping
    may also have a ``name``; without it the schedule is called ``queue.job``, which only one of a job can be."""

    concurrent_jobs: int | None = field(default=None, metadata=parsed_by(options.optional(options.whole(1))))
    """Attempts of the job that may run at once, across all workers; None for no limit but that of the queue."""

    concurrency_key: Function | None = field(default=None, metadata=parsed_by(options.optional(options.key_source)))
    """What ``concurrent_jobs_per_key`` counts by: a field of the payload, or the dotted path of a function that takes
    the payload and returns the key. Runs without a key are not limited by it."""

    concurrent_jobs_per_key: int | None = field(default=None, metadata=parsed_by(options.optional(options.whole(1))))
    """Attempts of the same ``concurrency_key`` that may run at once, across all workers. It counts in the job; one that
    is declared at the queue counts in the queue."""

    keep_order: bool = field(default=False, metadata=parsed_by(options.boolean))
    """Whether the runs of the same ``concurrency_key`` are worked in the order of adding, retries included: the next one
    starts when the one before has ended. Needs ``concurrent_jobs_per_key`` 1 beside it."""

    rate_limit: Rate | None = field(default=None, metadata=parsed_by(options.optional(options.rate)))
    """Most attempts of the job that start in a time, across all workers, such as "100/m", or "5/10s": so many per second
    (s), minute (m), hour (h) or day (d), evenly spread. None for no limit."""

    rate_burst: int = field(default=1, metadata=parsed_by(options.whole(1)))
    """Attempts that may start at once when ``rate_limit`` was not used up for a while."""

    rate_key: Function | None = field(default=None, metadata=parsed_by(options.optional(options.key_source)))
    """What ``rate_limit`` counts by: a field of the payload, or the dotted path of a function that takes the payload and
    returns the key. Each key has a rate of its own; runs without a key share one."""

    unique: Reach | None = field(default=None, metadata=parsed_by(options.optional(options.reach)))
    """How long no other run with the same key is added: ``pending`` until it is started, ``live`` until it has ended, or so
    many seconds, for each window of that length, whatever becomes of it. From 1 second to 366 days."""

    unique_key: PayloadKey | None = field(default=None, metadata=parsed_by(options.optional(options.payload_key)))
    """What makes two runs of a unique job the same: a field of the payload, a list of fields, or a function of the payload
    that answers a text, or its dotted path. None: the payload as a whole."""

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


def _parse_jobs(path: str, value: object) -> dict[str, JobConfig]:
    given = options.named(path, value, options.name(200), _parse_job)
    return {name: JobConfig(name=name, **job) for name, job in given.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueConfig:
    """How one queue is worked. Job options that stand among its own are the defaults of its jobs."""

    name: str
    """The key of the queue in ``queues``."""

    jobs: Mapping[str, JobConfig] = field(default_factory=dict, metadata=parsed_by(_parse_jobs))
    """The jobs of the queue by name: dotted paths, or mappings of options with ``run``. Code may declare more."""

    job_defaults: Mapping[str, Any] = field(default_factory=dict)
    """The job options that are given at the queue, parsed."""

    concurrent_jobs: int | None = field(default=None, metadata=parsed_by(options.optional(options.whole(1))))
    """Attempts that may run at once, across all workers; None for no limit but the workers' slots."""

    concurrent_jobs_per_key: int | None = field(default=None, metadata=parsed_by(options.optional(options.whole(1))))
    """Attempts of the same ``concurrency_key`` that may run at once, across all workers and all jobs of the queue that
    do not declare it themselves."""

    keep_order: bool = field(default=False, metadata=parsed_by(options.boolean))
    """Whether the runs of the same ``concurrency_key`` are worked in the order of adding, retries included. Needs
    ``concurrent_jobs_per_key`` 1 beside it."""

    rate_limit: Rate | None = field(default=None, metadata=parsed_by(options.optional(options.rate)))
    """Most attempts that start in a time, across all workers, such as "100/m": of the queue as a whole, or, if it
    declares a ``rate_key``, of each key."""

    rate_burst: int = field(default=1, metadata=parsed_by(options.whole(1)))
    """Attempts that may start at once when ``rate_limit`` was not used up for a while."""

    weight: int = field(default=1, metadata=parsed_by(options.whole(1, 1000)))
    """Share of a worker's slots while other queues of the worker have due runs too, from 1 to 1000: a queue of weight 3
    holds three times as many as one of weight 1. Not read by ``runjobs --strict``."""

    batch_size: int = field(default=100, metadata=parsed_by(options.whole(1, 1000)))
    """Most runs that a worker claims at once, from 1 to 1000."""

    lease_seconds: float = field(metadata=parsed_by(options.number(1, DAY_SECONDS)))
    """Seconds for which a claimed run stays its worker's without a heartbeat, from 1 to 86400. By default that of
    ``worker``."""

    run_on_startup: bool = field(default=True, metadata=parsed_by(options.boolean))
    """Whether a ``runjobs`` that names no queue works this one."""

    cleanup: Cleanup = field(default=Cleanup(), metadata=parsed_by(parse_cleanup))
    """How long runs are kept that have ended."""

    external: bool = field(default=False, metadata=parsed_by(options.boolean))
    """Whether another deployment of the same namespace works the queue. Here one can add only: any job whose name is
    valid, with any JSON payload. No worker of this deployment claims, reaps, expires or purges its runs."""


_OF_WHO_WORKS_IT = frozenset(parsers_of(QueueConfig)) - {"external"}


def _parse_queue(path: str, value: object) -> dict[str, Any]:
    own, of_jobs = parsers_of(QueueConfig), parsers_of(JobOptions)
    del of_jobs["schedule"]  # no two jobs have the same
    parsed = options.section(path, value, of_jobs | own)
    if parsed.get("external") and (unread := parsed.keys() & _OF_WHO_WORKS_IT):
        raise ConfigError(
            [
                f"{options.at(path, option)}: not read, as whoever works an external queue decides"
                for option in sorted(unread)
            ]
        )
    defaults = {option: parsed.pop(option) for option in of_jobs if option in parsed and option not in own}
    return {**parsed, "job_defaults": defaults}


def _parse_queues(path: str, value: object) -> dict[str, dict[str, Any]]:
    """Return what each queue is given. Its lease may depend on another section, so it is not built yet."""
    return options.named(path, value, options.name(100), _parse_queue)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """How a worker works, where neither the queue nor the command line says otherwise."""

    lease_seconds: float = field(default=30.0, metadata=parsed_by(options.number(1, DAY_SECONDS)))
    """Seconds for which a claimed run stays its worker's without a heartbeat, from 1 to 86400."""

    concurrency: int = field(default=8, metadata=parsed_by(options.whole(1, 1000)))
    """Attempts that one process runs at once, from 1 to 1000."""

    grace_seconds: float = field(default=25.0, metadata=parsed_by(options.number(0, DAY_SECONDS)))
    """Seconds that a worker which is asked to stop gives its attempts to end, from 0 to 86400."""

    recycle_after_runs: int = field(default=1000, metadata=parsed_by(options.whole(1, 1_000_000)))
    """Attempts after which a child process is replaced by a new one, from 1 to 1000000."""

    recycle_after_megabytes: int | None = field(
        default=None, metadata=parsed_by(options.optional(options.whole(1, 1_000_000)))
    )
    """Megabytes of memory that a child process may take; one that takes more after an attempt is replaced by a new one.
    None: as many as it likes. Where the system does not tell (it does on Linux), this does nothing."""

    recycle_after_leaks: int = field(default=4, metadata=parsed_by(options.whole(1, 1000)))
    """Attempts that were cut off, but whose threads go on, after which a worker process ends with exit code 75, to be
    started anew. It also does when no slot is left."""

    poll_seconds: float = field(default=1.0, metadata=parsed_by(options.number(0.01, 60)))
    """Seconds between two looks for work where nothing wakes the worker earlier, from 0.01 to 60."""


def _parse_worker(path: str, value: object) -> WorkerConfig:
    return WorkerConfig(**options.section(path, value, parsers_of(WorkerConfig)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All of ``settings.JOBQUEUE``."""

    queues: Mapping[str, QueueConfig] = field(metadata=parsed_by(_parse_queues))
    """The queues by name. There is always one named ``default``."""

    database: str = field(default="default", metadata=parsed_by(options.database_alias))
    """Alias in ``DATABASES`` of the database that holds all our tables."""

    namespace: str = field(default="default", metadata=parsed_by(options.name(64)))
    """Deployments that share a database, each in a namespace of its own, never see each other's runs."""

    worker: WorkerConfig = field(default=WorkerConfig(), metadata=parsed_by(_parse_worker))
    """How a worker works."""

    schedules: Mapping[str, ScheduleConfig] = field(
        default_factory=dict, metadata=parsed_by(schedules.parse_in_settings)
    )
    """Schedules by name, beside those of the jobs: mappings of schedule options with ``job``, and ``queue`` if it is not
    ``default``."""

    cleanup: ProjectCleanup = field(default=ProjectCleanup(), metadata=parsed_by(parse_project_cleanup))
    """How long is kept what belongs to no queue."""

    idempotency_seconds: float = field(
        default=7 * DAY_SECONDS, metadata=parsed_by(options.number(60, 90 * DAY_SECONDS))
    )
    """Seconds for which an ``idempotency_key`` is remembered, counted from the ``add()`` that was first to give it, from
    60 to 7776000 (90 days)."""

    payload_max_bytes: int = field(default=256 * 1024, metadata=parsed_by(options.whole(1, 64 * 1024 * 1024)))
    """Most bytes that a payload may take as JSON in UTF-8, up to 64 MiB."""


QUEUES = 'JOBQUEUE["queues"]'


def external_queues() -> list[str]:
    """The queues that another deployment works."""
    return [name for name, queue in get_config().queues.items() if queue.external]


@cache
def get_config() -> Config:
    """Return the configuration of the project, read on the first call. Raises ConfigError with all that is wrong."""
    given = options.mapping("JOBQUEUE", getattr(settings, "JOBQUEUE", {}))
    # Its default is parsed too: a project need not have a database of that alias.
    parsed = options.section("JOBQUEUE", {"database": "default", **given}, parsers_of(Config))
    worker = parsed.get("worker", WorkerConfig())
    queues = {"default": {}, **parsed.pop("queues", {})}
    built = {
        name: QueueConfig(name=name, **{"lease_seconds": worker.lease_seconds, **queue})
        for name, queue in queues.items()
    }
    if problems := [
        f"{options.at(QUEUES, queue.name)}: {flaw}" for queue in built.values() for flaw in contradictions(queue)
    ]:
        raise ConfigError(problems)
    return Config(queues=built, **parsed)


def parse_job_options(where: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the job options that are *given* in code, parsed. *where* begins each problem of the ConfigError."""
    return options.section(where, given, parsers_of(JobOptions))


def check_name(where: str, name: object) -> None:
    """Raise ConfigError unless *name* can be that of a job."""
    options.name(200)(where, name)


@receiver(setting_changed)
def _forget(*, setting: str, **_: Any) -> None:
    if setting in {"JOBQUEUE", "DATABASES"}:
        get_config.cache_clear()
