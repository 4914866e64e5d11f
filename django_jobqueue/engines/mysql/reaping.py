"""MySQL: runs whose lease is over."""

from __future__ import annotations

from collections.abc import Sequence

from django_jobqueue.engines.base import LostRun, Reaping
from django_jobqueue.engines.mysql.database import NOW
from django_jobqueue.engines.mysql.settling import MySQLSettling


class MySQLReaping(MySQLSettling, Reaping):
    """Finds lost runs by the index of leases."""

    LOST = f"""
          SELECT id, attempt, queue, job, worker, crashes, delivery, concurrency_key,
                 LEAST(run_at, {NOW})
            FROM jobqueue_run FORCE INDEX (jobqueue_run_running)
           WHERE namespace = %(namespace)s
             AND state = 'running'
             AND lease_until < {NOW}
             AND queue NOT IN (SELECT name FROM JSON_TABLE(%(but)s, '$[*]' COLUMNS (name VARCHAR(100) PATH '$')) AS but)
        ORDER BY lease_until
           LIMIT %(limit)s
    """

    def lost(self, namespace: str, *, limit: int = 100, but: Sequence[str] = ()) -> list[LostRun]:
        rows = self.fetch(self.LOST, {"namespace": namespace, "limit": limit, "but": self.document(but)})
        lost = [(run := LostRun(*row))._replace(run_at=self.aware(run.run_at)) for row in rows]
        free = self.hold_free((run.ref for run in lost), expired=True) if lost else {}
        return [run._replace(locked=run.ref not in free) for run in lost]
