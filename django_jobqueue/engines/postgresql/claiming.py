"""PostgreSQL: claims."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from time import monotonic
from typing import Any

from django_jobqueue.engines.base import Bound, Bounds, Claim, Claiming, in_claim_order
from django_jobqueue.engines.postgresql.database import PostgreSQLDatabase


class PostgreSQLClaiming(PostgreSQLDatabase, Claiming):
    """Claims with SKIP LOCKED."""

    # Whoever chooses the runs, they are taken in the same way, and the same is answered.
    LEASE = """
           UPDATE jobqueue_run AS run
              SET state = 'running',
                  blocked_on = NULL,
                  attempt = run.attempt + 1,
                  worker = %(worker)s,
                  started_at = statement_timestamp(),
                  lease_until = statement_timestamp() + make_interval(secs => %(lease_seconds)s),
                  unique_lock = CASE WHEN run.unique_lock LIKE 'p%%' THEN NULL ELSE run.unique_lock END
    """
    LEASED = """
        RETURNING run.id, run.attempt, run.queue, run.job, run.version, run.payload, run.priority, run.run_at,
                  run.failures, run.crashes, run.releases, run.max_attempts, run.delivery, run.metadata,
                  run.concurrency_key, run.tags, run.tenant, run.user_id, run.trace_id, run.timeout_seconds,
                  run.fires_at, run.missed
    """

    # Whether anybody may claim here without the lock: no operator has paused or limited the queue, or a job of it.
    OPEN = """
        (%(ruled)s OR NOT EXISTS (
        SELECT
          FROM jobqueue_queue_state
         WHERE namespace = %(namespace)s
           AND queue = %(queue)s
           AND (paused_at IS NOT NULL
                AND (paused_until IS NULL OR paused_until > statement_timestamp())
             OR concurrent_jobs IS NOT NULL
                AND (concurrent_jobs_until IS NULL OR concurrent_jobs_until > statement_timestamp())
             OR concurrent_jobs_per_key IS NOT NULL
                AND (concurrent_jobs_per_key_until IS NULL
                  OR concurrent_jobs_per_key_until > statement_timestamp())
             OR rate_limit IS NOT NULL
                AND (rate_limit_until IS NULL OR rate_limit_until > statement_timestamp()))))
    """

    # A level is a priority with its first pending run. Levels are found one by one, highest first, and only as far as
    # the batch needs.
    LEVELS = f"""
        WITH RECURSIVE level (priority, run_at, id) AS (
            (SELECT priority, run_at, id
               FROM jobqueue_run
              WHERE namespace = %(namespace)s
                AND queue = %(queue)s
                AND state = 'pending'
                AND blocked_on IS NULL
                AND {OPEN}
           ORDER BY priority DESC, run_at, id
              LIMIT 1)
          UNION ALL
             SELECT lower.priority, lower.run_at, lower.id
               FROM level
         CROSS JOIN LATERAL (
                    SELECT priority, run_at, id
                      FROM jobqueue_run
                     WHERE namespace = %(namespace)s
                       AND queue = %(queue)s
                       AND state = 'pending'
                       AND blocked_on IS NULL
                       AND priority < level.priority
                  ORDER BY priority DESC, run_at, id
                     LIMIT 1) AS lower
        )
    """

    # Within a level the due runs lie side by side.
    DUE_UP_TO = """
        SELECT due.id
          FROM level
    CROSS JOIN LATERAL (
               SELECT id
                 FROM jobqueue_run
                WHERE namespace = %(namespace)s
                  AND queue = %(queue)s
                  AND state = 'pending'
                  AND blocked_on IS NULL
                  AND priority = level.priority
                  AND (run_at, id) >= (level.run_at, level.id)
                  AND run_at <= statement_timestamp()
                  AND (expires_at IS NULL OR expires_at > statement_timestamp())
             ORDER BY run_at, id
                LIMIT {number}
                  FOR UPDATE SKIP LOCKED) AS due
         WHERE level.run_at <= statement_timestamp()
         LIMIT {number}
    """
    DUE = DUE_UP_TO.replace("{number}", "%(limit)s")

    # The array makes the search run exactly once: as a join, the planner might repeat it and lock more than the limit.
    CLAIM = f"""
        {LEVELS}
        {LEASE}
            WHERE run.id = ANY(ARRAY({DUE}))
        {LEASED}
    """

    LEVEL_HEADS = f"""
        {LEVELS}
        SELECT priority, run_at, id FROM level
    """

    # Levels are known by their bounds. A run of another level between them, or above, makes it find nothing.
    BEHIND = f"""
        WITH level AS MATERIALIZED (
            SELECT priority, run_at, id, lag(priority, 1, 32767::smallint) OVER (ORDER BY priority DESC) AS above
              FROM json_to_recordset(%(bounds)s::json) AS bound(priority smallint, run_at timestamptz, id bigint)
             WHERE {OPEN}
        ), unknown AS MATERIALIZED (
            SELECT
              FROM level
        CROSS JOIN LATERAL (
                   SELECT
                     FROM jobqueue_run
                    WHERE namespace = %(namespace)s
                      AND queue = %(queue)s
                      AND state = 'pending'
                      AND blocked_on IS NULL
                      AND priority > level.priority
                      AND priority < level.above
                    LIMIT 1) AS run
             LIMIT 1
        )
    """

    CLAIM_BEHIND = f"""
        {BEHIND}
        {LEASE}
            WHERE run.id = ANY(ARRAY({DUE}))
              AND NOT EXISTS (SELECT FROM unknown)
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
        bounds: Bounds | None = None,
    ) -> list[Claim]:
        if limit <= 0:
            return []
        parameters = {
            "namespace": namespace,
            "queue": queue,
            "worker": worker,
            "limit": limit,
            "lease_seconds": lease_seconds,
            "ruled": ruled,
        }
        if bounds is None:
            return self._taken(self.CLAIM, parameters)
        return in_claim_order(self._claim_behind(bounds, parameters))

    def _claim_behind(self, bounds: Bounds, parameters: dict[str, Any]) -> list[Claim]:
        """Claim behind the *bounds*, as long as that is faster, and what is missing as if there were none."""
        place, limit = (parameters["namespace"], parameters["queue"]), parameters["limit"]
        claims: list[Claim] = []
        if levels := bounds.of(*place, now=monotonic()):
            begun = monotonic()
            document = self.document(level._asdict() for level in levels)
            claims = self._taken(self.CLAIM_BEHIND, parameters | {"bounds": document})
            bounds.move(*place, claims, enough=len(claims) == limit, seconds=monotonic() - begun, now=monotonic())
            if len(claims) == limit:
                return claims
        begun, rest = monotonic(), limit - len(claims)
        found = self._taken(self.CLAIM, parameters | {"limit": rest})
        if len(found) == rest:
            self._set_bounds(bounds, parameters, seconds=monotonic() - begun)
        return claims + found

    def _set_bounds(self, bounds: Bounds, parameters: dict[str, Any], *, seconds: float) -> None:
        """Let the next claims be bounded, after a whole one that found enough, if it took too many *seconds*."""
        place = (parameters["namespace"], parameters["queue"])
        if bounds.are_wanted(*place, seconds=seconds, now=monotonic()):
            begun = monotonic()
            heads = [Bound(*row) for row in self.fetch(self.LEVEL_HEADS, parameters)]
            now = monotonic()
            bounds.set(*place, heads, seconds=seconds, looking=now - begun, now=now)

    def _taken(self, sql: str, parameters: dict[str, Any]) -> list[Claim]:
        return in_claim_order(map(Claim._make, self.fetch(sql, parameters)))

    TAKE = f"""
        {LEASE}
            WHERE run.id = ANY(ARRAY(SELECT json_array_elements_text(%(ids)s::json)::bigint))
              AND run.state = 'pending'
        {LEASED}
    """

    def take(self, ids: Iterable[int], *, worker: str, lease_seconds: float) -> list[Claim]:
        parameters = {"ids": self.document(ids), "worker": worker, "lease_seconds": lease_seconds}
        return self._taken(self.TAKE, parameters)

    NEXT_DUE = """
        WITH RECURSIVE level (queue, priority, run_at) AS (
             SELECT first.queue, first.priority, first.run_at
               FROM json_array_elements_text(%(queues)s::json) AS wanted(queue)
         CROSS JOIN LATERAL (
                    SELECT queue, priority, run_at
                      FROM jobqueue_run
                     WHERE namespace = %(namespace)s
                       AND queue = wanted.queue
                       AND state = 'pending'
                       AND blocked_on IS NULL
                       AND (expires_at IS NULL OR expires_at > statement_timestamp())
                  ORDER BY priority DESC, run_at, id
                     LIMIT 1) AS first
          UNION ALL
             SELECT lower.queue, lower.priority, lower.run_at
               FROM level
         CROSS JOIN LATERAL (
                    SELECT queue, priority, run_at
                      FROM jobqueue_run
                     WHERE namespace = %(namespace)s
                       AND queue = level.queue
                       AND state = 'pending'
                       AND blocked_on IS NULL
                       AND (expires_at IS NULL OR expires_at > statement_timestamp())
                       AND priority < level.priority
                  ORDER BY priority DESC, run_at, id
                     LIMIT 1) AS lower
        )
        SELECT EXTRACT(EPOCH FROM min(due_at) - statement_timestamp())::double precision
          FROM (SELECT run_at AS due_at
                  FROM level
             UNION ALL
                SELECT bucket.next_at
                  FROM json_array_elements_text(%(queues)s::json) AS wanted(queue)
            CROSS JOIN LATERAL (
                       SELECT min(next_at) AS next_at
                         FROM jobqueue_limit_bucket
                        WHERE namespace = %(namespace)s
                          AND queue = wanted.queue
                          AND next_at IS NOT NULL) AS bucket) AS due
    """

    def next_due(self, namespace: str, queues: Sequence[str]) -> float | None:
        [[seconds]] = self.fetch(self.NEXT_DUE, {"namespace": namespace, "queues": self.document(queues)})
        return None if seconds is None else float(seconds)
