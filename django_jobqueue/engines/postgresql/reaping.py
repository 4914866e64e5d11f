"""PostgreSQL: runs whose lease is over."""

from __future__ import annotations

from collections.abc import Sequence

from django_jobqueue.engines.base import LostRun, Reaping
from django_jobqueue.engines.postgresql.settling import PostgreSQLSettling


class PostgreSQLReaping(PostgreSQLSettling, Reaping):
    """Finds lost runs by the index of running ones."""

    LOST = """
        WITH lost AS (
              SELECT *
                FROM jobqueue_run
               WHERE namespace = %(namespace)s
                 AND state = 'running'
                 AND lease_until < statement_timestamp()
                 AND queue NOT IN (SELECT json_array_elements_text(%(but)s::json))
            ORDER BY lease_until
               LIMIT %(limit)s
        ), free AS (
              SELECT id
                FROM jobqueue_run
               WHERE id = ANY(ARRAY(SELECT id FROM lost))
                 FOR NO KEY UPDATE SKIP LOCKED
        )
           SELECT id, attempt, queue, job, worker, crashes, delivery, concurrency_key,
                  LEAST(run_at, statement_timestamp()), free.id IS NULL
             FROM lost
        LEFT JOIN free USING (id)
    """

    def lost(self, namespace: str, *, limit: int = 100, but: Sequence[str] = ()) -> list[LostRun]:
        parameters = {"namespace": namespace, "limit": limit, "but": self.document(but)}
        return [LostRun(*row) for row in self.fetch(self.LOST, parameters)]
