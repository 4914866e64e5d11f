"""PostgreSQL: the statements of limits."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from time import monotonic
from typing import Any

from django_jobqueue.engines.base import Bounds, Lines, Locked, Placing, by_queue, passed_over
from django_jobqueue.engines.postgresql.claiming import PostgreSQLClaiming
from django_jobqueue.limits import Candidate, Limit
from django_jobqueue.models import QueueState


class PostgreSQLLines(PostgreSQLClaiming, Lines):
    """Locks queues by advisory locks, and passes over runs that are locked by others."""

    LOCK = """
        SELECT pg_advisory_xact_lock(hashtextextended(%(namespace)s || ':' || queue, 7106))
          FROM (SELECT queue
                  FROM json_array_elements_text(%(queues)s::json) AS queue
              ORDER BY queue) AS in_order
    """

    # Whatever begins a statement that is sent with others: this is asked when it is its turn.
    CLOCK = """
        SELECT clock_timestamp()
    """

    STATES = """
        SELECT id, namespace, queue, job, paused_at, paused_until, concurrent_jobs, concurrent_jobs_until,
               concurrent_jobs_per_key, concurrent_jobs_per_key_until, rate_limit, rate_limit_until
          FROM jobqueue_queue_state
         WHERE namespace = %(namespace)s
           AND queue IN (SELECT json_array_elements_text(%(queues)s::json))
    """
    STATE = [field.attname for field in QueueState._meta.concrete_fields]

    COUNT_RUNNING = """
        SELECT queue, job, concurrency_key, count(*)
          FROM jobqueue_run
         WHERE namespace = %(namespace)s
           AND queue IN (SELECT json_array_elements_text(%(queues)s::json))
           AND state = 'running'
      GROUP BY queue, job, concurrency_key
    """

    def lock(self, namespace: str, queues: Collection[str]) -> Locked:
        _, [[now]], states, running = self.fetch_each(
            [self.LOCK, self.CLOCK, self.STATES, self.COUNT_RUNNING],
            {"namespace": namespace, "queues": self.document(queues)},
        )
        operated = [QueueState.from_db(self.alias, self.STATE, row) for row in states]
        return Locked(now, operated, by_queue(queues, running))

    HELD = """
        held (label) AS MATERIALIZED (
            SELECT json_array_elements_text(%(held)s::json)
        )
    """

    FIRST = """
            SELECT due.*
              FROM level
        CROSS JOIN LATERAL (
                   SELECT id, priority, run_at, job, concurrency_key, rate_key, blocked_on
                     FROM jobqueue_run
                    WHERE namespace = %(namespace)s
                      AND queue = %(queue)s
                      AND state = 'pending'
                      AND blocked_on IS NULL
                      AND priority = level.priority
                      AND (run_at, id) >= (level.run_at, level.id)
                      AND run_at <= statement_timestamp()
                      AND (expires_at IS NULL OR expires_at > statement_timestamp())
                      AND ('job:' || job IN (SELECT label FROM held)) IS NOT TRUE
                      AND ('key:/' || concurrency_key IN (SELECT label FROM held)) IS NOT TRUE
                      AND ('key:' || job || '/' || concurrency_key IN (SELECT label FROM held)) IS NOT TRUE
                      AND ('rate:/' || rate_key IN (SELECT label FROM held)) IS NOT TRUE
                      AND ('rate:' || job || '/' || rate_key IN (SELECT label FROM held)) IS NOT TRUE
                 ORDER BY run_at, id
                    LIMIT %(limit)s
                      FOR UPDATE SKIP LOCKED) AS due
             WHERE level.run_at <= statement_timestamp()
    """

    CANDIDATES = f"""
        {PostgreSQLClaiming.LEVELS}, {HELD}
        {FIRST}
             LIMIT %(limit)s
    """

    CANDIDATES_BEHIND = f"""
        {PostgreSQLClaiming.BEHIND}, {HELD}
        {FIRST}
               AND NOT EXISTS (SELECT FROM unknown)
             LIMIT %(limit)s
    """

    def candidates(
        self,
        namespace: str,
        queue: str,
        *,
        limit: int,
        held: Collection[Limit] = (),
        bounds: Bounds | None = None,
    ) -> list[Candidate]:
        parameters: dict[str, Any] = {
            "namespace": namespace,
            "queue": queue,
            "limit": limit,
            "held": self.document(passed_over(held)),
            "ruled": True,
        }
        bounds = Bounds() if bounds is None else bounds
        if levels := bounds.of(namespace, queue, now=monotonic()):
            begun = monotonic()
            document = self.document(level._asdict() for level in levels)
            found = self._looked_at(self.CANDIDATES_BEHIND, parameters | {"bounds": document})
            # Who is passed over is still there: the next one does not begin behind him.
            first = [] if held else found
            seconds = monotonic() - begun
            bounds.move(namespace, queue, first, enough=len(found) == limit, seconds=seconds, now=monotonic())
            if len(found) == limit:
                return found
        begun = monotonic()
        found = self._looked_at(self.CANDIDATES, parameters)
        if len(found) == limit:
            self._set_bounds(bounds, parameters, seconds=monotonic() - begun)
        return found

    def _looked_at(self, sql: str, parameters: dict[str, Any]) -> list[Candidate]:
        found = map(Candidate._make, self.fetch(sql, parameters))
        return sorted(found, key=lambda run: run.claim_order)

    FRONT = """
            SELECT first.*
              FROM json_to_recordset(%(lines)s::json) AS line(blocked_on text, number int)
        CROSS JOIN LATERAL (
                   SELECT id, priority, run_at, job, concurrency_key, rate_key, blocked_on
                     FROM jobqueue_run
                    WHERE namespace = %(namespace)s
                      AND queue = %(queue)s
                      AND state = 'pending'
                      AND blocked_on = line.blocked_on
                      AND (expires_at IS NULL OR expires_at > statement_timestamp())
                 ORDER BY priority DESC, run_at, id
                    LIMIT line.number
                      FOR UPDATE SKIP LOCKED) AS first
    """

    def front(self, namespace: str, queue: str, lines: Mapping[Limit, int]) -> list[Candidate]:
        document = self.document({"blocked_on": str(line), "number": number} for line, number in lines.items())
        rows = self.fetch(self.FRONT, {"namespace": namespace, "queue": queue, "lines": document})
        return list(map(Candidate._make, rows))

    # A key that is only said to be equal needs no order: then the primary key, which leads through the history, gives the
    # order as well as the index of the keys does.
    HEADS = """
        WITH own (job) AS MATERIALIZED (
            SELECT json_array_elements_text(%(own_keys)s::json)
        )
            SELECT wanted.job, wanted.value, head.id
              FROM json_to_recordset(%(keys)s::json) AS wanted(job text, value text)
        CROSS JOIN LATERAL (
                   SELECT id
                     FROM jobqueue_run
                    WHERE namespace = %(namespace)s
                      AND queue = %(queue)s
                      AND concurrency_key BETWEEN wanted.value AND wanted.value
                      AND state IN ('pending', 'running')
                      AND CASE wanted.job WHEN '' THEN job NOT IN (SELECT job FROM own) ELSE job = wanted.job END
                 ORDER BY concurrency_key, id
                    LIMIT 1) AS head
    """

    def heads(self, namespace: str, queue: str, keys: Iterable[Limit], own_keys: Sequence[str]) -> dict[Limit, int]:
        parameters = {
            "namespace": namespace,
            "queue": queue,
            "keys": self.document({"job": key.job, "value": key.key} for key in keys),
            "own_keys": self.document(own_keys),
        }
        return {Limit("key", job, key): run_id for job, key, run_id in self.fetch(self.HEADS, parameters)}

    PARKED = """
        SELECT id, priority, run_at, job, concurrency_key, rate_key, blocked_on
          FROM jobqueue_run
         WHERE id = ANY(ARRAY(SELECT json_array_elements_text(%(ids)s::json)::bigint))
           AND state = 'pending'
           AND blocked_on IS NOT NULL
           AND (expires_at IS NULL OR expires_at > statement_timestamp())
           FOR UPDATE SKIP LOCKED
    """

    def parked(self, ids: Iterable[int]) -> list[Candidate]:
        return list(map(Candidate._make, self.fetch(self.PARKED, {"ids": self.document(ids)})))

    PLACE = """
        WITH place AS (
            SELECT place.*
              FROM json_to_recordset(%(placings)s::json) AS columns(ids bigint[], lines text[], moments timestamptz[])
        CROSS JOIN LATERAL unnest(ids, lines, moments) AS place(id, blocked_on, run_at)
        )
        UPDATE jobqueue_run AS run
           SET blocked_on = place.blocked_on,
               run_at = COALESCE(place.run_at, run.run_at)
          FROM place
         WHERE run.id = ANY(ARRAY(SELECT id FROM place))
           AND run.id = place.id
           AND run.state = 'pending'
     RETURNING run.id
    """

    def place(self, placings: Iterable[Placing]) -> None:
        columns = dict(zip(("ids", "lines", "moments"), zip(*placings, strict=True), strict=True))
        self.fetch(self.PLACE, {"placings": self.document([columns])})

    LINES = """
        WITH RECURSIVE line (queue, blocked_on) AS (
             SELECT wanted.queue, first.blocked_on
               FROM json_to_recordset(%(queues)s::json) AS wanted(queue text, after text)
         CROSS JOIN LATERAL (
                    SELECT blocked_on
                      FROM jobqueue_run
                     WHERE namespace = %(namespace)s
                       AND queue = wanted.queue
                       AND state = 'pending'
                       AND blocked_on > wanted.after
                  ORDER BY blocked_on
                     LIMIT 1) AS first
          UNION ALL
             SELECT line.queue, next.blocked_on
               FROM line
         CROSS JOIN LATERAL (
                    SELECT blocked_on
                      FROM jobqueue_run
                     WHERE namespace = %(namespace)s
                       AND queue = line.queue
                       AND state = 'pending'
                       AND blocked_on > line.blocked_on
                  ORDER BY blocked_on
                     LIMIT 1) AS next
        )
        SELECT queue, blocked_on
          FROM line
         LIMIT %(limit)s
    """

    def lines(self, namespace: str, queues: Mapping[str, str], *, limit: int) -> list[tuple[str, str]]:
        document = self.document({"queue": queue, "after": after} for queue, after in queues.items())
        rows = self.fetch(self.LINES, {"namespace": namespace, "queues": document, "limit": limit})
        return [(queue, line) for queue, line in rows]
