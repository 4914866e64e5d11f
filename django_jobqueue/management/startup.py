"""What must be true before a worker starts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management.base import CommandError
from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from django_jobqueue.conf import get_config
from django_jobqueue.worker.connections import DATABASE_AWAY

APP = "django_jobqueue"


@contextmanager
def answering_database() -> Iterator[None]:
    """Raise CommandError, on one line, where the database does not answer in the block."""
    try:
        yield
    except DATABASE_AWAY as error:
        alias = get_config().database
        raise CommandError(f"Database {alias!r} does not answer: {' '.join(str(error).split())}") from error


def require_tables(alias: str) -> None:
    """Raise CommandError where the database *alias* does not answer, or lacks tables that this release needs."""
    connection = connections[alias]
    with answering_database():
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan([node for node in executor.loader.graph.leaf_nodes() if node[0] == APP])
    if missing:
        option = "" if alias == "default" else f" --database {alias}"
        raise CommandError(
            f"The tables in database {alias!r} are not those of this release. Run: manage.py migrate {APP}{option}"
        )
