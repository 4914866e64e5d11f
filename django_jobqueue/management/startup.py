"""What must be true of the database before a command can work, and what is said where it is not."""

from __future__ import annotations

from django.core.management.base import CommandError
from django.db import Error, connections, transaction
from django.db.migrations.executor import MigrationExecutor

from django_jobqueue.conf import get_config
from django_jobqueue.worker.connections import DATABASE_AWAY

APP = "django_jobqueue"


def require_tables(alias: str) -> None:
    """Raise CommandError where the database *alias* does not answer, or lacks tables that this release needs."""
    connection = connections[alias]
    try:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan([node for node in executor.loader.graph.leaf_nodes() if node[0] == APP])
    except DATABASE_AWAY as error:
        raise CommandError(f"Database {alias!r} does not answer: {_on_one_line(error)}") from error
    if missing:
        option = "" if alias == "default" else f" --database {alias}"
        raise CommandError(
            f"The tables in database {alias!r} are not those of this release. Run: manage.py migrate {APP}{option}"
        )


def require_isolation(alias: str) -> None:
    """Raise CommandError where limits would not be exact: their locks are taken by one statement, and used by the next."""
    connection = connections[alias]
    if connection.vendor != "postgresql":
        return
    with transaction.atomic(using=alias), connection.cursor() as cursor:
        cursor.execute("SHOW transaction_isolation")
        [level] = cursor.fetchone()
    if level not in ("read committed", "read uncommitted"):  # which are one in PostgreSQL
        raise CommandError(
            f"Database {alias!r} works in {level.upper()}: limits are exact in READ COMMITTED only. Set no isolation_level "
            f'in DATABASES["{alias}"]["OPTIONS"], and no default_transaction_isolation for the database or its user.'
        )


def refusal(error: Error) -> str:
    """Why a database raised *error*: it is away, or lacks our tables; or else what it says itself."""
    try:
        require_tables(get_config().database)
    except CommandError as known:
        return str(known)
    except Error:  # it answers nothing at all
        pass
    return f"The database refused: {_on_one_line(error)}"


def _on_one_line(error: Error) -> str:
    return " ".join(str(error).split())
