"""System checks: what ``manage.py check`` says about the use of django-jobqueue in a project.

None of them connects to a database: they run where there may be none yet.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Warning, register
from django.db import connections, router

from django_jobqueue.conf import Config, QueueConfig, get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.errors import ConfigError, JobQueueError, nearest
from django_jobqueue.jobs import registry
from django_jobqueue.jobs.dead_letters import dead_letter_problems
from django_jobqueue.operations.schedule_sync import schedule_problems
from django_jobqueue.payloads.kinds import UnknownName

TAG = "jobqueue"

WAL = re.compile(r"\bjournal_mode\s*[=(]\s*['\"]?wal\b", re.IGNORECASE)
LEAST_TIMEOUT = 5
"""Seconds to wait for other writers; Python's own default."""

POOL_SIZE = 4
"""The size of a psycopg pool that is given none."""
READ_COMMITTED = 2
"""As psycopg counts the levels."""
ISOLATION = re.compile(r"\bdefault_transaction_isolation\s*=\s*\S*(repeatable|serializable)", re.IGNORECASE)

COUNTED_BY = {"concurrency_key": "concurrent_jobs_per_key", "rate_key": "rate_limit"}
"""The keys of runs, each with the limit that counts by it."""
KEY_OF_QUEUE = {"rate_limit": " (that of a queue counts by key only if the queue declares rate_key itself)"}

OWN_CONNECTIONS = 2
"""Those of a worker beside its slots: one claims and settles, one renews leases."""


@register(TAG)
def check_project(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Report all that is wrong or unwise in the settings, the jobs and the database of the project."""
    try:
        config = get_config()
    except ConfigError as error:
        hint = "Correct settings.JOBQUEUE: none of it is used until all of it is right."
        return [Error(problem, hint=hint, id="jobqueue.E001") for problem in error.problems]
    return [
        *check_jobs(config),
        *check_keys(config),
        *check_fields(config),
        *check_schedules(),
        *check_database(config),
        *check_sqlite(config),
        *check_pool(config),
        *check_isolation(config),
        *check_atomic(config),
        *check_time_zone(),
        *check_admin(),
    ]


def check_jobs(config: Config) -> Iterator[CheckMessage]:
    """Report every job that cannot work (jobqueue.E002)."""
    hint = "Correct the declaration of the job: it can neither be added nor run."
    for problem in registry.problems():
        yield Error(problem, hint=hint, id="jobqueue.E002")
    hint = "Correct on_dead_letter: nobody would be told of a run that is dead-lettered."
    for problem in dead_letter_problems():
        yield Error(problem, hint=hint, id="jobqueue.E002")
    hint = "Move it to the top of its module. If it is there, but decorated, use functools.wraps in the decorator."
    for problem in _nested_functions(config):
        yield Error(problem, hint=hint, id="jobqueue.E002")


def check_keys(config: Config) -> Iterator[CheckMessage]:
    """Warn of keys that no limit counts by (jobqueue.W005)."""
    for key, limit in COUNTED_BY.items():
        hint = (
            f"Declare {limit} beside it{KEY_OF_QUEUE.get(limit, '')}, or leave {key} out. "
            "If only operators set that limit, silence this with SILENCED_SYSTEM_CHECKS."
        )
        for queue in config.queues.values():
            for place in _with_unread(key, limit, queue):
                message = f"{place} declares {key}, but no {limit} counts by it."
                yield Warning(message, hint=hint, id="jobqueue.W005")


def check_fields(config: Config) -> Iterator[CheckMessage]:
    """Warn of fields that a queue names, and that no payload of its jobs has (jobqueue.W006)."""
    hint = "Correct the name: as it is, it concerns no run of the queue."
    for queue in config.queues.values():
        for option in (*COUNTED_BY, "secret"):
            for field in _named_fields(queue.job_defaults.get(option)):
                if wrong := _unknown_field(queue.name, option, field):
                    message = f"there is no {wrong.name!r} in the payload of any of its jobs. {nearest(*wrong)}"
                    yield Warning(f"Queue {queue.name!r}: {option}: {message}", hint=hint, id="jobqueue.W006")


def check_schedules() -> Iterator[CheckMessage]:
    """Report every schedule that cannot make runs (jobqueue.E004)."""
    hint = "Correct the declaration of the schedule: none of its due times would make a run."
    for problem in schedule_problems():
        yield Error(problem, hint=hint, id="jobqueue.E004")


def check_database(config: Config) -> Iterator[CheckMessage]:
    """Report a database that no engine speaks to (jobqueue.E003)."""
    try:
        engine_for(config.database)
    except ConfigError as error:
        hint = 'Set JOBQUEUE["database"] to another alias of DATABASES.'
        for problem in error.problems:
            yield Error(problem, hint=hint, id="jobqueue.E003")


def check_sqlite(config: Config) -> Iterator[CheckMessage]:
    """Warn of a SQLite that is not set up for more than one process (jobqueue.W001)."""
    connection = connections[config.database]
    if connection.vendor != "sqlite":
        return
    options = connection.settings_dict["OPTIONS"]
    flaws = list(_sqlite_flaws(options))
    right = options | {option: value for option, value, _ in flaws}
    hint = f'Set DATABASES["{config.database}"]["OPTIONS"] = {right!r}'
    for _, _, flaw in flaws:
        yield Warning(f"Database {config.database!r} is SQLite {flaw}.", hint=hint, id="jobqueue.W001")


def check_pool(config: Config) -> Iterator[CheckMessage]:
    """Warn of a connection pool that the attempts of one worker use up (jobqueue.W003)."""
    connection = connections[config.database]
    pool = connection.settings_dict["OPTIONS"].get("pool") if connection.vendor == "postgresql" else None
    if not pool:
        return
    sizes = pool if isinstance(pool, dict) else {}
    size = sizes.get("max_size") or sizes.get("min_size", POOL_SIZE)
    needed = config.worker.concurrency + OWN_CONNECTIONS
    if size < needed:
        yield Warning(
            f"The pool of database {config.database!r} holds {size} connections, but a worker that runs "
            f"{config.worker.concurrency} attempts at once needs {needed}: some attempts would wait for one until they fail.",
            hint=f'Set DATABASES["{config.database}"]["OPTIONS"]["pool"] = {sizes | {"max_size": needed}!r}, '
            f'or lower JOBQUEUE["worker"]["concurrency"].',
            id="jobqueue.W003",
        )


def check_isolation(config: Config) -> Iterator[CheckMessage]:
    """Report an isolation level in which limits are not exact (jobqueue.E005); ``runjobs`` asks the server itself."""
    connection = connections[config.database]
    options = connection.settings_dict["OPTIONS"] if connection.vendor == "postgresql" else {}
    level = options.get("isolation_level")
    if (level is not None and int(level) > READ_COMMITTED) or ISOLATION.search(str(options.get("options", ""))):
        yield Error(
            f"Database {config.database!r} is PostgreSQL with an isolation level other than READ COMMITTED: limits would "
            f"not be exact, because a worker that waits for a lock would not see what others have claimed meanwhile.",
            hint=f'Set no isolation level in DATABASES["{config.database}"]["OPTIONS"]. If your own code needs one, '
            'set it in its transactions, or give JOBQUEUE["database"] an alias of its own.',
            id="jobqueue.E005",
        )


def check_atomic(config: Config) -> Iterator[CheckMessage]:
    """Report atomic jobs that could not be so (jobqueue.E006), and warn of those that keep others waiting (jobqueue.W004)."""
    jobs = list(_atomic_jobs(config))
    if not jobs:
        return
    ours = apps.get_app_config("django_jobqueue").get_models()
    written = {router.db_for_write(model) for model in set(apps.get_models()).difference(ours)}
    if written and config.database not in written:
        yield Error(
            f"The runs are in database {config.database!r}, but all models of the project are written to "
            f"{', '.join(map(repr, sorted(written)))}: what atomic jobs write could not be committed together with their "
            f"runs. The atomic jobs are {_listed(jobs)}",
            hint='Set JOBQUEUE["database"] to the alias that these jobs write to, or remove their option atomic.',
            id="jobqueue.E006",
        )
    if connections[config.database].vendor == "sqlite":
        yield Warning(
            f"Database {config.database!r} is SQLite: while an atomic job runs, nobody else can write, neither the project "
            f"nor any worker. The atomic jobs are {_listed(jobs)}",
            hint="Keep these jobs shorter than the timeout of the database, or use PostgreSQL. "
            "If they are that short, silence this with SILENCED_SYSTEM_CHECKS.",
            id="jobqueue.W004",
        )


def check_time_zone() -> Iterator[CheckMessage]:
    """Warn of local time (jobqueue.W002)."""
    if not settings.USE_TZ:
        yield Warning(
            "USE_TZ is False: in the hour that clocks repeat in autumn, next_run_at can mean either of two moments, and "
            "schedules are due the first time only.",
            hint="Set USE_TZ = True.",
            id="jobqueue.W002",
        )


def check_admin() -> Iterator[CheckMessage]:
    """Tell of an admin that is not there to show runs and queues (jobqueue.I001)."""
    if not apps.is_installed("django.contrib.admin"):
        yield Info(
            "django.contrib.admin is not installed: nobody can look at runs, replay, cancel or pause there.",
            hint='Add "django.contrib.admin" to INSTALLED_APPS, or silence this with SILENCED_SYSTEM_CHECKS.',
            id="jobqueue.I001",
        )


def _nested_functions(config: Config) -> Iterator[str]:
    """Tell of the jobs that code declares, but that no other process finds by their name."""
    for queue in config.queues.values():
        in_settings = {name for name, job in queue.jobs.items() if job.run is not None}
        for name in registry.names(queue.name):
            if name in in_settings:
                continue
            try:
                function = registry.get(queue.name, name).function
            except ConfigError:
                continue  # told already
            path = str(getattr(function, "__qualname__", ""))
            if "<locals>" in path or "<lambda>" in path:
                yield (
                    f"Job {name!r} of queue {queue.name!r} is {function.__module__}.{path}, "
                    f"which cannot be imported by that name."
                )


def _with_unread(key: str, limit: str, queue: QueueConfig) -> Iterator[str]:
    """Tell who declares a *key* in vain: jobs of *queue*, or it itself, if none of its jobs has the *limit*."""
    of_queue = queue.job_defaults.get(key)
    if getattr(queue, limit) is not None and (key == "concurrency_key" or of_queue is not None):
        return
    unread = {}
    for name in registry.names(queue.name):
        with suppress(JobQueueError):  # told already
            options = registry.get(queue.name, name).options
            unread[name] = getattr(options, key) if getattr(options, limit) is None else None
    for name, of_job in unread.items():
        if of_job is not None and of_job != of_queue:
            yield f"Job {name!r} of queue {queue.name!r}"
    if of_queue is not None and None not in unread.values():
        yield f"Queue {queue.name!r}"


def _named_fields(option: object) -> Collection[str]:
    """The payload fields that an option names; a key with a dot is the path of a function."""
    if isinstance(option, str):
        return () if "." in option else (option,)
    return option if isinstance(option, Collection) else ()


def _unknown_field(queue: str, option: str, field: str) -> UnknownName | None:
    """What of *field* none of the jobs has that get it from *queue*."""
    unknown = []
    for name in registry.names(queue):
        with suppress(JobQueueError):  # told already
            job = registry.get(queue, name)
            if field in _named_fields(getattr(job.options, option)):
                unknown.append(job.schema.unknown_name(field.split(".")))
    found = [name for name in unknown if name is not None]
    if not found or len(found) < len(unknown):
        return None
    return UnknownName(found[0].name, {known for name in found for known in name.known})


def _atomic_jobs(config: Config) -> Iterator[str]:
    """The names of the atomic jobs that can work."""
    for queue in config.queues.values():
        for name in registry.names(queue.name):
            with suppress(ConfigError):  # told already
                if registry.get(queue.name, name).options.atomic:
                    yield f"{queue.name}.{name}"


def _listed(names: Iterable[str]) -> str:
    """At most five *names*, and the end of a sentence."""
    first = list(islice(names, 6))
    return f"{', '.join(first)}." if len(first) <= 5 else f"{', '.join(first[:5])}, ..."


def _sqlite_flaws(options: dict[str, Any]) -> Iterator[tuple[str, object, str]]:
    """Tell which options are wrong: the name, a value that is right, and what is so bad about it."""
    init_command = str(options.get("init_command") or "").rstrip("; ")
    if not WAL.search(init_command):
        commands = [init_command] if init_command else []
        right = "; ".join([*commands, "PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL"])
        yield "init_command", right, "without WAL: readers and writers keep each other waiting"
    if str(options.get("transaction_mode")).upper() not in {"IMMEDIATE", "EXCLUSIVE"}:
        flaw = (
            'without transaction_mode "IMMEDIATE": a transaction that reads before it writes fails as soon as another one '
            "has written meanwhile, whatever the timeout"
        )
        yield "transaction_mode", "IMMEDIATE", flaw
    if options.get("timeout", LEAST_TIMEOUT) < LEAST_TIMEOUT:
        yield "timeout", 20, f"with a timeout of {options['timeout']} s: a busy moment becomes an error"
