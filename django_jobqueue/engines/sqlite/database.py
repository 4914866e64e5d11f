"""The clock of SQLite, and how it writes moments."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.utils import timezone

from django_jobqueue.engines.base import Database


class SQLiteDatabase(Database):
    """Moments by the host's clock."""

    def now(self) -> datetime:
        return timezone.now()

    def timestamps(self) -> Callable[[datetime], str]:
        zone = self.connection.timezone
        return str if zone is None else lambda moment: str(moment.astimezone(zone).replace(tzinfo=None))

    def aware(self, moment: datetime) -> datetime:
        """A moment out of a column, which says nothing of its zone, as Django would have it."""
        return moment.replace(tzinfo=self.connection.timezone)
