"""SQLite: runs whose lease is over."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils import timezone

from django_jobqueue.engines.base import LostRun, Reaping
from django_jobqueue.engines.sqlite.settling import SQLiteSettling


class SQLiteReaping(SQLiteSettling, Reaping):
    """Finds lost runs by the index of running ones."""

    LOST = """
          SELECT id, attempt, queue, job, worker, crashes, delivery, concurrency_key, run_at
            FROM jobqueue_run
           WHERE namespace = %(namespace)s
             AND state = 'running'
             AND lease_until < %(now)s
             AND queue NOT IN (SELECT value FROM json_each(%(but)s))
        ORDER BY lease_until
           LIMIT %(limit)s
    """

    def lost(self, namespace: str, *, limit: int = 100, but: Sequence[str] = ()) -> list[LostRun]:
        now = timezone.now()
        parameters = {"namespace": namespace, "now": self.timestamps()(now), "limit": limit, "but": self.document(but)}
        rows = self.fetch(self.LOST, parameters)
        return [(lost := LostRun(*row))._replace(run_at=min(self.aware(lost.run_at), now)) for row in rows]
