"""SQLite: claims."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Any

from django.utils import timezone

from django_jobqueue.engines.base import Bounds, Claim, Claiming, in_claim_order
from django_jobqueue.engines.sqlite.database import SQLiteDatabase

MOMENTS = [Claim._fields.index(name) for name in ("run_at", "fires_at")]
"""The columns of a claim that are moments."""


class SQLiteClaiming(SQLiteDatabase, Claiming):
    """Claims in single statements."""

    # Whoever chooses the runs, they are taken in the same way, and the same is answered.
    LEASE = """
           UPDATE jobqueue_run
              SET state = 'running',
                  blocked_on = NULL,
                  attempt = attempt + 1,
                  worker = %(worker)s,
                  started_at = %(now)s,
                  lease_until = %(lease_until)s,
                  unique_lock = CASE WHEN unique_lock LIKE 'p%%' THEN NULL ELSE unique_lock END
    """
    LEASED = """
        RETURNING id, attempt, queue, job, version, payload, priority, run_at,
                  failures, crashes, releases, max_attempts, delivery, metadata,
                  concurrency_key, tags, tenant, user_id, trace_id, timeout_seconds, fires_at, missed
    """

    # A level is a priority that has a pending run. Levels are found one by one, highest first, and only as far as the
    # batch needs; the due runs of a level travel as one JSON array, because a plain join would look through all runs.
    CLAIM = f"""
        WITH RECURSIVE level (priority) AS (
            SELECT (SELECT priority
                      FROM jobqueue_run
                     WHERE namespace = %(namespace)s
                       AND queue = %(queue)s
                       AND state = 'pending'
                       AND blocked_on IS NULL
                       AND (%(ruled)s OR NOT EXISTS (
                           SELECT 1
                             FROM jobqueue_queue_state
                            WHERE namespace = %(namespace)s
                              AND queue = %(queue)s
                              AND (paused_at IS NOT NULL
                                   AND (paused_until IS NULL OR paused_until > %(now)s)
                                OR concurrent_jobs IS NOT NULL
                                   AND (concurrent_jobs_until IS NULL OR concurrent_jobs_until > %(now)s)
                                OR concurrent_jobs_per_key IS NOT NULL
                                   AND (concurrent_jobs_per_key_until IS NULL
                                     OR concurrent_jobs_per_key_until > %(now)s)
                                OR rate_limit IS NOT NULL
                                   AND (rate_limit_until IS NULL OR rate_limit_until > %(now)s))))
                  ORDER BY priority DESC
                     LIMIT 1)
         UNION ALL
            SELECT (SELECT lower.priority
                      FROM jobqueue_run AS lower
                     WHERE lower.namespace = %(namespace)s
                       AND lower.queue = %(queue)s
                       AND lower.state = 'pending'
                       AND lower.blocked_on IS NULL
                       AND lower.priority < level.priority
                  ORDER BY lower.priority DESC
                     LIMIT 1)
              FROM level
             WHERE level.priority IS NOT NULL
        )
        {LEASE}
            WHERE id IN (
                   SELECT due.value
                     FROM level
               CROSS JOIN json_each((
                          SELECT json_group_array(id)
                            FROM (SELECT id
                                    FROM jobqueue_run
                                   WHERE namespace = %(namespace)s
                                     AND queue = %(queue)s
                                     AND state = 'pending'
                                     AND blocked_on IS NULL
                                     AND priority = level.priority
                                     AND run_at <= %(now)s
                                     AND (expires_at IS NULL OR expires_at > %(now)s)
                                ORDER BY run_at, id
                                   LIMIT %(limit)s))) AS due
                    WHERE level.priority IS NOT NULL
                    LIMIT %(limit)s)
        {LEASED}
    """

    def claim(
        self,
        namespace: str,
        queue: str,
        *,
        worker: str,
        limit: int,
        lease_seconds: float,
        ruled: bool = False,
        bounds: Bounds | None = None,  # what was claimed has left the index at once
    ) -> list[Claim]:
        if limit <= 0:
            return []
        parameters = self._lease(worker, lease_seconds)
        parameters |= {"namespace": namespace, "queue": queue, "limit": limit, "ruled": ruled}
        return self._claims(self.fetch(self.CLAIM, parameters))

    TAKE = f"""
        {LEASE}
            WHERE id IN (SELECT value FROM json_each(%(ids)s))
              AND state = 'pending'
        {LEASED}
    """

    def take(self, ids: Iterable[int], *, worker: str, lease_seconds: float) -> list[Claim]:
        parameters = self._lease(worker, lease_seconds) | {"ids": self.document(ids)}
        return self._claims(self.fetch(self.TAKE, parameters))

    NEXT_DUE = """
        WITH RECURSIVE level (queue, priority) AS (
            SELECT wanted.value,
                   (SELECT first.priority
                      FROM jobqueue_run AS first
                     WHERE first.namespace = %(namespace)s
                       AND first.queue = wanted.value
                       AND first.state = 'pending'
                       AND first.blocked_on IS NULL
                  ORDER BY first.priority DESC
                     LIMIT 1)
              FROM json_each(%(queues)s) AS wanted
         UNION ALL
            SELECT level.queue,
                   (SELECT lower.priority
                      FROM jobqueue_run AS lower
                     WHERE lower.namespace = %(namespace)s
                       AND lower.queue = level.queue
                       AND lower.state = 'pending'
                       AND lower.blocked_on IS NULL
                       AND lower.priority < level.priority
                  ORDER BY lower.priority DESC
                     LIMIT 1)
              FROM level
             WHERE level.priority IS NOT NULL
        )
        SELECT min(due_at)
          FROM (SELECT (SELECT run.run_at
                          FROM jobqueue_run AS run
                         WHERE run.namespace = %(namespace)s
                           AND run.queue = level.queue
                           AND run.state = 'pending'
                           AND run.blocked_on IS NULL
                           AND (run.expires_at IS NULL OR run.expires_at > %(now)s)
                           AND run.priority = level.priority
                      ORDER BY run.run_at
                         LIMIT 1) AS due_at
                  FROM level
                 WHERE level.priority IS NOT NULL
             UNION ALL
                SELECT (SELECT min(bucket.next_at)
                          FROM jobqueue_limit_bucket AS bucket
                         WHERE bucket.namespace = %(namespace)s
                           AND bucket.queue = wanted.value
                           AND bucket.next_at IS NOT NULL)
                  FROM json_each(%(queues)s) AS wanted)
    """

    def next_due(self, namespace: str, queues: Sequence[str]) -> float | None:
        now = self.timestamps()(timezone.now())
        [[run_at]] = self.fetch(self.NEXT_DUE, {"namespace": namespace, "queues": self.document(queues), "now": now})
        if run_at is None:
            return None
        return (self.aware(datetime.fromisoformat(run_at)) - timezone.now()).total_seconds()

    def _lease(self, worker: str, lease_seconds: float) -> dict[str, Any]:
        """The parameters of a lease that begins now."""
        now, text = self.now(), self.timestamps()
        return {"worker": worker, "now": text(now), "lease_until": text(now + timedelta(seconds=lease_seconds))}

    def _claims(self, rows: Iterable[tuple[Any, ...]]) -> list[Claim]:
        zone = self.connection.timezone
        return in_claim_order(_claimed(row, zone) for row in rows)


def _claimed(row: tuple[Any, ...], zone: tzinfo | None) -> Claim:
    """The claim of *row*, whose moments say nothing of their zone."""
    fields = list(row)
    for at in MOMENTS:
        if fields[at] is not None:
            fields[at] = fields[at].replace(tzinfo=zone)
    return Claim._make(fields)
