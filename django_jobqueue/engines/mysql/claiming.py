"""MySQL: claiming."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django_jobqueue.engines.base import Bounds, Claim, Claiming, in_claim_order
from django_jobqueue.engines.mysql.database import NOW, microseconds
from django_jobqueue.engines.mysql.walking import ABOVE_ALL, MySQLWalking


class MySQLClaiming(MySQLWalking, Claiming):
    """Claims with SKIP LOCKED, and then writes."""

    OPERATED = f"""
        SELECT 1
          FROM jobqueue_queue_state
         WHERE namespace = %(namespace)s
           AND queue = %(queue)s
           AND (paused_at IS NOT NULL
                AND (paused_until IS NULL OR paused_until > {NOW})
             OR concurrent_jobs IS NOT NULL
                AND (concurrent_jobs_until IS NULL OR concurrent_jobs_until > {NOW})
             OR concurrent_jobs_per_key IS NOT NULL
                AND (concurrent_jobs_per_key_until IS NULL OR concurrent_jobs_per_key_until > {NOW})
             OR rate_limit IS NOT NULL
                AND (rate_limit_until IS NULL OR rate_limit_until > {NOW}))
         LIMIT 1
    """

    CLAIM = f"""
          SELECT id, attempt + 1, queue, job, version, payload, priority, run_at,
                 failures, crashes, releases, max_attempts, delivery, metadata,
                 concurrency_key, tags, tenant, user_id, trace_id, timeout_seconds, fires_at, missed
            FROM jobqueue_run FORCE INDEX (jobqueue_run_claim)
           WHERE namespace = %(namespace)s
             AND queue = %(queue)s
             AND state = 'pending'
             AND blocked_on <=> %(line)s
             AND priority = %(priority)s
             AND run_at <= {NOW}
             AND (expires_at IS NULL OR expires_at > {NOW})
        ORDER BY run_at, id
           LIMIT %(limit)s
             FOR UPDATE
            SKIP LOCKED
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
        bounds: Bounds | None = None,
    ) -> list[Claim]:
        place = {"namespace": namespace, "queue": queue}
        if limit <= 0 or self.level(namespace, queue) is None or (not ruled and self.fetch(self.OPERATED, place)):
            return []
        return self.together(
            lambda: self._lease(self.walk(self.CLAIM, **place, limit=limit), worker=worker, lease_seconds=lease_seconds)
        )

    PENDING = """
               SELECT run.id, run.attempt + 1, run.queue, run.job, run.version, run.payload, run.priority, run.run_at,
                      run.failures, run.crashes, run.releases, run.max_attempts, run.delivery, run.metadata,
                      run.concurrency_key, run.tags, run.tenant, run.user_id, run.trace_id, run.timeout_seconds,
                      run.fires_at, run.missed
                 FROM (SELECT * FROM JSON_TABLE(%(ids)s, '$[*]' COLUMNS (id BIGINT PATH '$')) AS listed) AS wanted
        STRAIGHT_JOIN jobqueue_run AS run FORCE INDEX (PRIMARY)
                   ON run.id = wanted.id
                WHERE run.state = 'pending'
                  FOR UPDATE
    """

    def take(self, ids: Iterable[int], *, worker: str, lease_seconds: float) -> list[Claim]:
        document = self.document(sorted(ids))
        return self.together(
            lambda: self._lease(self.fetch(self.PENDING, {"ids": document}), worker=worker, lease_seconds=lease_seconds)
        )

    LEASE = f"""
               UPDATE JSON_TABLE(%(ids)s, '$[*]' COLUMNS (id BIGINT PATH '$')) AS taken
        STRAIGHT_JOIN jobqueue_run AS run FORCE INDEX (PRIMARY)
                   ON run.id = taken.id
                  SET run.state = 'running',
                      run.blocked_on = NULL,
                      run.attempt = run.attempt + 1,
                      run.worker = %(worker)s,
                      run.started_at = {NOW},
                      run.lease_until = {NOW} + INTERVAL %(length)s MICROSECOND,
                      run.unique_lock = CASE WHEN run.unique_lock LIKE 'p%%' THEN NULL ELSE run.unique_lock END
    """

    def _lease(self, rows: Sequence[tuple[Any, ...]], *, worker: str, lease_seconds: float) -> list[Claim]:
        """Lease the runs of *rows*, which are locked."""
        claims = in_claim_order(self._claimed(*row) for row in rows)
        if claims:
            ids = self.document(claim.id for claim in claims)
            self.fetch(self.LEASE, {"ids": ids, "worker": worker, "length": microseconds(lease_seconds)})
        return claims

    def _claimed(self, *row: Any) -> Claim:
        *fields, fires_at, missed = row
        fields[7] = self.aware(fields[7])
        return Claim(*fields, fires_at and self.aware(fires_at), missed)  # type: ignore[call-arg]

    DUE_AT = f"""
          SELECT TIMESTAMPDIFF(MICROSECOND, {NOW}, run_at)
            FROM jobqueue_run FORCE INDEX (jobqueue_run_claim)
           WHERE namespace = %(namespace)s
             AND queue = %(queue)s
             AND state = 'pending'
             AND blocked_on <=> %(line)s
             AND priority = %(priority)s
             AND (expires_at IS NULL OR expires_at > {NOW})
        ORDER BY run_at, id
           LIMIT 1
    """

    NEXT_TOKEN = f"""
        SELECT TIMESTAMPDIFF(MICROSECOND, {NOW}, min(next_at))
          FROM jobqueue_limit_bucket
         WHERE namespace = %(namespace)s
           AND queue = %(queue)s
           AND next_at IS NOT NULL
    """

    def next_due(self, namespace: str, queues: Sequence[str]) -> float | None:
        waits: list[int | None] = []
        for queue in queues:
            place = {"namespace": namespace, "queue": queue}
            waits += [wait for [wait] in self.walk(self.DUE_AT, **place, limit=ABOVE_ALL)]
            waits += [wait for [wait] in self.fetch(self.NEXT_TOKEN, place)]
        return min((wait / 1_000_000 for wait in waits if wait is not None), default=None)
