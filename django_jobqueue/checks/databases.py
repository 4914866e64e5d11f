"""What is wrong or unwise in the database of the runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error, Warning
from django.db import connections, router

from django_jobqueue.conf import Config
from django_jobqueue.engines import engine_for
from django_jobqueue.errors import ConfigError
from django_jobqueue.jobs import registry

WAL = re.compile(r"\bjournal_mode\s*[=(]\s*['\"]?wal\b", re.IGNORECASE)
LEAST_TIMEOUT = 5
"""Seconds to wait for other writers; Python's own default."""

POOL_SIZE = 4
"""The size of a psycopg pool that is given none."""
READ_COMMITTED = 2
"""As psycopg counts the levels."""
ISOLATION = re.compile(r"\bdefault_transaction_isolation\s*=\s*\S*(repeatable|serializable)", re.IGNORECASE)

OWN_CONNECTIONS = 2
"""Those of a worker beside its slots: one claims and settles, one renews leases."""


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
