"""The clock of the database, for what the ORM does."""

from __future__ import annotations

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
    """

    def as_sqlite(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra_context: Any
    ) -> tuple[str, tuple[str | int, ...]]:
        return compiler.compile(models.Value(timezone.now(), models.DateTimeField()))
