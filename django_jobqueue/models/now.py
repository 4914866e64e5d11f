"""The clock of the database, for what the ORM does."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import functions
from django.utils import timezone

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models.sql.compiler import SQLCompiler


class Now(functions.Now):
    """The moment at which a statement runs, as columns hold moments.

    On SQLite that is the host's: its own clock shows UTC, also where columns hold the local time of ``USE_TZ = False``.
    On MySQL, what Django asks for is the local time of the session, in whatever zone its server is.
    """

    def as_sqlite(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra_context: Any
    ) -> tuple[str, tuple[str | int, ...]]:
        return compiler.compile(models.Value(timezone.now(), models.DateTimeField()))

    def as_mysql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra_context: Any
    ) -> tuple[str, tuple[str | int, ...]]:
        template = f"(UTC_TIMESTAMP(6) + INTERVAL {ahead_of_utc(connection)} SECOND)"
        return self.as_sql(compiler, connection, template=template, **extra_context)


def ahead_of_utc(connection: BaseDatabaseWrapper) -> int:
    """By how many seconds the moments in the columns of *connection* are ahead of UTC: none, where USE_TZ is True."""
    offset = datetime.now(connection.timezone or timezone.get_default_timezone()).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())
