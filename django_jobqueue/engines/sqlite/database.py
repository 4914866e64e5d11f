"""The clock of SQLite, and how it writes moments."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import datetime

from django.db import DatabaseError
from django.utils import timezone

from django_jobqueue.engines.base import Database

PRIMARY = 0xFF
"""What all codes of one kind of error have in common."""
BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
AWAY = (0, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
"""As when the disk is one of a network; 0 where SQLite has not spoken."""
SHORT = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_PROTOCOL,
)
"""Of space, memory or time; or somebody has taken the right to write away."""


class SQLiteDatabase(Database):
    """Moments by the host's clock."""

    has_one_writer = True

    def begin_to_write(self) -> None:
        # It deletes nothing, but takes the lock, whatever the transaction_mode is.
        self.connection.cursor().execute("DELETE FROM jobqueue_run WHERE FALSE")

    def is_busy(self, error: BaseException) -> bool:
        return _code(error) in BUSY

    def _says_away(self, error: BaseException) -> bool:
        return _code(error) in AWAY

    def _says_short(self, error: BaseException) -> bool:
        return isinstance(error, DatabaseError) and _code(error) in SHORT

    def now(self) -> datetime:
        return timezone.now()

    def timestamps(self) -> Callable[[datetime], str]:
        zone = self.connection.timezone
        return str if zone is None else lambda moment: str(moment.astimezone(zone).replace(tzinfo=None))

    def aware(self, moment: datetime) -> datetime:
        """A moment out of a column, which says nothing of its zone, as Django would have it."""
        return moment.replace(tzinfo=self.connection.timezone)


def _code(error: BaseException) -> int:
    """What SQLite calls an error of Django; 0, where it has none."""
    code: int = getattr(error.__cause__, "sqlite_errorcode", 0)
    return code & PRIMARY
