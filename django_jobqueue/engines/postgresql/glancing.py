"""PostgreSQL: a glance."""

from __future__ import annotations

from collections.abc import Sequence

from django_jobqueue.engines.base import Glance, Glancing
from django_jobqueue.engines.postgresql.claiming import PostgreSQLClaiming
from django_jobqueue.engines.postgresql.database import PostgreSQLDatabase


class PostgreSQLGlancing(PostgreSQLDatabase, Glancing):
    """Touches the first entry of each index that leads to something to do."""

    GLANCE = f"""
        SELECT statement_timestamp(),
               EXISTS (SELECT FROM jobqueue_run
                        WHERE namespace = %(namespace)s
                          AND state = 'running'
                          AND lease_until < statement_timestamp()),
               EXISTS (SELECT FROM jobqueue_run
                        WHERE namespace = %(namespace)s
                          AND state = 'pending'
                          AND expires_at <= statement_timestamp()),
               EXISTS (SELECT FROM jobqueue_run
                        WHERE namespace = %(namespace)s
                          AND state = 'pending'
                          AND blocked_on IS NOT NULL),
               (SELECT EXTRACT(EPOCH FROM min(next_run_at) - statement_timestamp())::double precision
                  FROM jobqueue_schedule
                 WHERE namespace = %(namespace)s
                   AND enabled),
               ({PostgreSQLClaiming.NEXT_DUE})
    """

    def glance(self, namespace: str, queues: Sequence[str]) -> Glance:
        [row] = self.fetch(self.GLANCE, {"namespace": namespace, "queues": self.document(queues)})
        return Glance(*row)
