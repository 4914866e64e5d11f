"""What must be true of the database before a command can work, and what is said where it is not."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from django.core.management.base import CommandError
from django.db import Error, connections, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from django_jobqueue.conf import get_config
from django_jobqueue.worker.connections import DATABASE_AWAY

APP = "django_jobqueue"


def require_tables(alias: str) -> None:
    """Raise CommandError where the database *alias* does not answer, or lacks tables that this release needs."""
    try:
        applied = {name for app, name in MigrationRecorder(connections[alias]).applied_migrations() if app == APP}
    except DATABASE_AWAY as error:
        raise CommandError(f"Database {alias!r} does not answer: {_on_one_line(error)}") from error
    if not _migrations() <= applied:
        option = "" if alias == "default" else f" --database {alias}"
        raise CommandError(
            f"The tables in database {alias!r} are not those of this release. Run: manage.py migrate {APP}{option}"
        )


def _migrations() -> set[str]:
    """The names of our migrations; none of any app need be loaded for that."""
    module, _ = MigrationLoader.migrations_module(APP)
    if module is None:  # MIGRATION_MODULES says so
        return set()
    return {found.name for found in iter_modules(import_module(module).__path__) if found.name[0] not in "_~"}


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
