"""SQLite: a glance."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.utils import timezone

from django_jobqueue.engines.base import Glance, Glancing
from django_jobqueue.engines.sqlite.claiming import SQLiteClaiming
from django_jobqueue.engines.sqlite.database import SQLiteDatabase


class SQLiteGlancing(SQLiteDatabase, Glancing):
    """Touches the first entry of each index that leads to something to do."""

    # "enabled" is said in both ways in which Django writes the condition of the index.
    GLANCE = f"""
        SELECT EXISTS (SELECT 1
                         FROM jobqueue_run
                        WHERE namespace = %(namespace)s
                          AND state = 'running'
                          AND lease_until < %(now)s),
               EXISTS (SELECT 1
                         FROM jobqueue_run
                        WHERE namespace = %(namespace)s
                          AND state = 'pending'
                          AND expires_at IS NOT NULL
                          AND expires_at <= %(now)s),
               EXISTS (SELECT 1
                         FROM jobqueue_run
                        WHERE namespace = %(namespace)s
                          AND state = 'pending'
                          AND blocked_on IS NOT NULL),
               (SELECT min(next_run_at)
                  FROM jobqueue_schedule
                 WHERE namespace = %(namespace)s
                   AND enabled
                   AND enabled = 1),
               ({SQLiteClaiming.NEXT_DUE})
    """

    def glance(self, namespace: str, queues: Sequence[str]) -> Glance:
        now = timezone.now()
        parameters = {"namespace": namespace, "queues": self.document(queues), "now": self.timestamps()(now)}
        [[lost, overdue, parked, fires_at, due_at]] = self.fetch(self.GLANCE, parameters)
        return Glance(
            now, bool(lost), bool(overdue), bool(parked), self._seconds(now, fires_at), self._seconds(now, due_at)
        )

    def _seconds(self, now: datetime, at: datetime | str | None) -> float | None:
        if at is None:
            return None
        moment = datetime.fromisoformat(at) if isinstance(at, str) else at
        return (self.aware(moment) - now).total_seconds()
