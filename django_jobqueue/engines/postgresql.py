"""PostgreSQL, from version 14.

Two rules hold throughout. The clock is ``statement_timestamp()``: unlike ``now()`` it moves on after a wait for a lock,
and unlike ``clock_timestamp()`` it may bound an index scan. Batches travel as one JSON document: psycopg binds a text
much faster than an array, and the plan does not depend on the size of the batch. A batch is joined by the document,
but found by ``id = ANY(ARRAY(...))``: that leads the planner to the primary key, whatever it believes of the size of the
table, which after a purge may be far off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from time import monotonic
from typing import Any, cast

from django.db import transaction

from django_jobqueue.engines.base import (
    Advance,
    Claim,
    Due,
    Engine,
    Inserted,
    KeptKey,
    LostRun,
    NewRun,
    Note,
    Ref,
    Settlement,
    columns,
    in_claim_order,
    in_lock_order,
    matched,
    seconds_ago,
)
from django_jobqueue.engines.postgresql_lines import PostgreSQLLines
from django_jobqueue.states import State


class PostgreSQLEngine(PostgreSQLLines, Engine):
    """Claims with SKIP LOCKED."""

    # Ids are taken in the order of the batch, in whatever order its runs are inserted.
    NEW = """
        INSERT INTO jobqueue_run (
               id, namespace, queue, job, version, payload, state, priority, run_at, expires_at, created_at,
               attempt, failures, crashes, snoozes, releases, max_attempts, delivery,
               concurrency_key, rate_key, unique_key, unique_lock, tags, tenant, user_id, trace_id, metadata,
               replay_of_id, schedule_id, fires_at, missed)
        SELECT new.id, %(namespace)s, new.queue, new.job, new.version, new.payload_text::jsonb, 'pending', new.priority,
               COALESCE(new.run_at, statement_timestamp()) + make_interval(secs => new.delay_seconds),
               COALESCE(new.expires_at,
                        COALESCE(new.run_at, statement_timestamp()) + make_interval(secs => new.delay_seconds)
                        + make_interval(secs => new.expires_after_seconds)),
               statement_timestamp(), 0, 0, 0, 0, 0, new.max_attempts, new.delivery,
               new.concurrency_key, new.rate_key, new.unique_key, new.unique_lock, new.tags, new.tenant, new."user",
               new.trace_id, new.metadata_text::jsonb, new.replay_of, new.schedule, new.fires_at, new.missed
          FROM (SELECT nextval('jobqueue_run_id_seq') AS id, item.*
                  FROM json_to_recordset(%(runs)s::json) AS item(
                       queue text, job text, version int, payload_text text, priority smallint, run_at timestamptz,
                       delay_seconds double precision, expires_at timestamptz,
                       expires_after_seconds double precision, max_attempts smallint, delivery text,
                       concurrency_key text, rate_key text, unique_key text, unique_lock text, tags jsonb,
                       tenant text, "user" text, trace_id text, metadata_text text, replay_of bigint,
                       schedule bigint, fires_at timestamptz, missed int)) AS new
    """

    INSERT = f"""
        {NEW}
     RETURNING id, run_at, created_at, expires_at
    """

    def insert(self, namespace: str, runs: Sequence[NewRun]) -> list[Inserted]:
        document = self.document(columns(run) for run in runs)
        rows = self.fetch(self.INSERT, {"namespace": namespace, "runs": document})
        return sorted(Inserted(*row) for row in rows)

    # Two who insert the same locks wait for each other in the same order, so that neither waits for ever.
    INSERT_UNIQUE = f"""
        {NEW}
      ORDER BY new.unique_lock
            ON CONFLICT (namespace, unique_lock) WHERE unique_lock IS NOT NULL DO NOTHING
     RETURNING id, run_at, created_at, expires_at, unique_lock
    """

    def insert_unique(self, namespace: str, runs: Sequence[NewRun]) -> list[Inserted | None]:
        document = self.document(columns(run) for run in runs)
        rows = self.fetch(self.INSERT_UNIQUE, {"namespace": namespace, "runs": document})
        return matched(runs, sorted((Inserted(*row), lock) for *row, lock in rows))

    KEEP_KEYS = """
        INSERT INTO jobqueue_idempotency_key AS kept (namespace, key_hash, arguments_hash, run_id, expires_at)
        SELECT %(namespace)s, new.key_hash, new.arguments_hash, new.run_id,
               statement_timestamp() + make_interval(secs => %(seconds)s)
          FROM json_to_recordset(%(keys)s::json) AS new(key_hash text, arguments_hash text, run_id bigint)
      ORDER BY new.key_hash
            ON CONFLICT (namespace, key_hash) DO UPDATE
                    SET arguments_hash = EXCLUDED.arguments_hash,
                        run_id = EXCLUDED.run_id,
                        expires_at = EXCLUDED.expires_at
                  WHERE kept.expires_at <= statement_timestamp()
     RETURNING key_hash
    """

    def keep_keys(self, namespace: str, keys: Sequence[KeptKey], *, seconds: float) -> set[str]:
        document = self.document(key._asdict() for key in keys)
        rows = self.fetch(self.KEEP_KEYS, {"namespace": namespace, "keys": document, "seconds": seconds})
        return {key_hash for (key_hash,) in rows}

    # A level is a priority with its first pending run. Levels are found one by one, highest first, and only as far as
    # the batch needs; within a level the due runs lie side by side. The array makes the search run exactly once: as a
    # join, the planner might repeat it and lock more than the limit.
    CLAIM = """
        WITH RECURSIVE level (priority, run_at, id) AS (
            (SELECT priority, run_at, id
               FROM jobqueue_run
              WHERE namespace = %(namespace)s
                AND queue = %(queue)s
                AND state = 'pending'
                AND blocked_on IS NULL
                AND (%(ruled)s OR NOT EXISTS (
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
           UPDATE jobqueue_run AS run
              SET state = 'running',
                  attempt = run.attempt + 1,
                  worker = %(worker)s,
                  started_at = statement_timestamp(),
                  lease_until = statement_timestamp() + make_interval(secs => %(lease_seconds)s),
                  unique_lock = CASE WHEN run.unique_lock LIKE 'p%%' THEN NULL ELSE run.unique_lock END
            WHERE run.id = ANY(ARRAY(
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
                           LIMIT %(limit)s
                             FOR UPDATE SKIP LOCKED) AS due
                    WHERE level.run_at <= statement_timestamp()
                    LIMIT %(limit)s))
        RETURNING run.id, run.attempt, run.queue, run.job, run.version, run.payload, run.priority, run.run_at,
                  run.failures, run.crashes, run.releases, run.max_attempts, run.delivery, run.metadata,
                  run.concurrency_key, run.fires_at, run.missed
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
    ) -> list[Claim]:
        if limit <= 0:
            return []
        rows = self.fetch(
            self.CLAIM,
            {
                "namespace": namespace,
                "queue": queue,
                "worker": worker,
                "limit": limit,
                "lease_seconds": lease_seconds,
                "ruled": ruled,
            },
        )
        return in_claim_order(Claim(*row) for row in rows)

    TAKE = """
           UPDATE jobqueue_run AS run
              SET state = 'running',
                  blocked_on = NULL,
                  attempt = run.attempt + 1,
                  worker = %(worker)s,
                  started_at = statement_timestamp(),
                  lease_until = statement_timestamp() + make_interval(secs => %(lease_seconds)s),
                  unique_lock = CASE WHEN run.unique_lock LIKE 'p%%' THEN NULL ELSE run.unique_lock END
            WHERE run.id = ANY(ARRAY(SELECT json_array_elements_text(%(ids)s::json)::bigint))
              AND run.state = 'pending'
        RETURNING run.id, run.attempt, run.queue, run.job, run.version, run.payload, run.priority, run.run_at,
                  run.failures, run.crashes, run.releases, run.max_attempts, run.delivery, run.metadata,
                  run.concurrency_key, run.fires_at, run.missed
    """

    def take(self, ids: Iterable[int], *, worker: str, lease_seconds: float) -> list[Claim]:
        rows = self.fetch(self.TAKE, {"ids": self.document(ids), "worker": worker, "lease_seconds": lease_seconds})
        return in_claim_order(Claim(*row) for row in rows)

    # It passes over rows that are locked: they are being settled or reaped, and whoever waits for nobody takes part in no
    # deadlock. If that comes to nothing, the next heartbeat renews them.
    RENEW = """
        WITH lease AS (
            SELECT *
              FROM json_to_recordset(%(leases)s::json) AS lease(id bigint, attempt int, seconds double precision)
        ), held AS (
            SELECT run.id, lease.seconds
              FROM jobqueue_run AS run
              JOIN lease USING (id, attempt)
             WHERE run.id = ANY(ARRAY(SELECT id FROM lease))
               AND run.lease_until IS NOT NULL
               FOR NO KEY UPDATE OF run SKIP LOCKED
        )
           UPDATE jobqueue_run AS run
              SET lease_until = statement_timestamp() + make_interval(secs => held.seconds)
             FROM held
            WHERE run.id = ANY(ARRAY(SELECT id FROM held))
              AND run.id = held.id
        RETURNING run.id, run.attempt, run.cancel_requested_at IS NOT NULL
    """

    def renew(self, leases: Sequence[tuple[Ref, float]]) -> dict[Ref, bool]:
        seconds = dict(leases)
        document = self.document(ref._asdict() | {"seconds": seconds[ref]} for ref in in_lock_order(seconds))
        rows = self.fetch(self.RENEW, {"leases": document})
        return {Ref(run_id, attempt): cancel_requested for run_id, attempt, cancel_requested in rows}

    # It passes over rows that are locked, for the same reason: they are still to be written next time.
    NOTE = """
        WITH note AS (
            SELECT *
              FROM json_to_recordset(%(notes)s::json) AS note(id bigint, attempt int, progress text, metadata text)
        ), held AS (
            SELECT run.id, note.progress, note.metadata
              FROM jobqueue_run AS run
              JOIN note USING (id, attempt)
             WHERE run.id = ANY(ARRAY(SELECT id FROM note))
               AND run.lease_until IS NOT NULL
               FOR NO KEY UPDATE OF run SKIP LOCKED
        )
           UPDATE jobqueue_run AS run
              SET progress = COALESCE(held.progress::jsonb, run.progress),
                  metadata = COALESCE(held.metadata::jsonb, run.metadata)
             FROM held
            WHERE run.id = ANY(ARRAY(SELECT id FROM held))
              AND run.id = held.id
        RETURNING run.id, run.attempt
    """

    def note(self, notes: Sequence[Note]) -> set[Ref]:
        by_ref = {note.ref: note for note in notes}
        document = self.document(by_ref[ref]._asdict() for ref in in_lock_order(by_ref))
        return {Ref(*row) for row in self.fetch(self.NOTE, {"notes": document})}

    # A run that is asked to cancel does not go back to pending; one whose lease is over takes no other end either.
    SETTLE = """
        WITH ending AS (
            SELECT *
              FROM json_to_recordset(%(settlements)s::json) AS ending(
                   id bigint, attempt int, outcome text, state text, reason text, counter text, run_at timestamptz,
                   delay_seconds double precision, result text, error text, traceback text,
                   progress text, metadata text, started_ago double precision, finished_ago double precision)
        ), settled AS (
            UPDATE jobqueue_run AS run
               SET state = CASE WHEN run.cancel_requested_at IS NOT NULL
                                 AND (ending.state = 'pending' OR %(expired)s)
                                THEN 'cancelled' ELSE ending.state END,
                   reason = CASE WHEN run.cancel_requested_at IS NOT NULL
                                  AND (ending.state = 'pending' OR %(expired)s)
                                 THEN 'cancelled' ELSE ending.reason END,
                   finished_at = CASE WHEN run.cancel_requested_at IS NOT NULL OR ending.state <> 'pending'
                                      THEN statement_timestamp() END,
                   run_at = CASE WHEN ending.state = 'pending' AND run.cancel_requested_at IS NULL
                                 THEN COALESCE(ending.run_at, statement_timestamp())
                                      + make_interval(secs => ending.delay_seconds)
                                 ELSE run.run_at END,
                   lease_until = NULL,
                   unknown_since = NULL,
                   unique_lock = CASE WHEN run.unique_lock LIKE 'w%%'
                                        OR (run.cancel_requested_at IS NULL AND ending.state = 'pending')
                                      THEN run.unique_lock END,
                   failures = run.failures + CASE ending.counter WHEN 'failures' THEN 1 ELSE 0 END,
                   crashes = run.crashes + CASE ending.counter WHEN 'crashes' THEN 1 ELSE 0 END,
                   snoozes = run.snoozes + CASE ending.counter WHEN 'snoozes' THEN 1 ELSE 0 END,
                   releases = run.releases + CASE ending.counter WHEN 'releases' THEN 1 ELSE 0 END,
                   result = ending.result::jsonb,
                   error = ending.error,
                   progress = COALESCE(ending.progress::jsonb, run.progress),
                   metadata = COALESCE(ending.metadata::jsonb, run.metadata)
              FROM ending
             WHERE run.id = ANY(ARRAY(SELECT id FROM ending))
               AND run.id = ending.id
               AND run.attempt = ending.attempt
               AND run.lease_until IS NOT NULL
               AND (run.lease_until < statement_timestamp() OR NOT %(expired)s)
         RETURNING run.id, run.attempt, run.state, run.worker, run.started_at
        ), history AS (
            INSERT INTO jobqueue_attempt (run_id, number, worker, started_at, finished_at, outcome, error, traceback)
            SELECT id, attempt, settled.worker,
                   COALESCE(statement_timestamp() - make_interval(secs => ending.started_ago), settled.started_at),
                   statement_timestamp() - make_interval(secs => ending.finished_ago),
                   CASE settled.state WHEN 'cancelled' THEN 'cancelled' ELSE ending.outcome END,
                   ending.error, ending.traceback
              FROM settled
              JOIN ending USING (id, attempt)
        )
        SELECT id, attempt, state FROM settled
    """

    DELETE = """
        WITH ref AS (
            SELECT *
              FROM json_to_recordset(%(refs)s::json) AS ref(id bigint, attempt int)
        ), deleted AS (
            DELETE FROM jobqueue_run AS run
                  USING ref
                  WHERE run.id = ANY(ARRAY(SELECT id FROM ref))
                    AND run.id = ref.id
                    AND run.attempt = ref.attempt
                    AND run.lease_until IS NOT NULL
              RETURNING run.id, run.attempt
        ), history AS (
            DELETE FROM jobqueue_attempt
                  WHERE run_id = ANY(ARRAY(SELECT id FROM deleted))
        )
        SELECT id, attempt FROM deleted
    """

    def _delete(self, refs: Sequence[Ref]) -> set[Ref]:
        document = self.document(ref._asdict() for ref in in_lock_order(refs))
        return {Ref(*row) for row in self.fetch(self.DELETE, {"refs": document})}

    def _settle(self, settlements: Sequence[Settlement], *, expired: bool) -> dict[Ref, State]:
        by_ref = {settlement.ref: settlement for settlement in settlements}
        document = self.document(_ending(by_ref[ref]) for ref in in_lock_order(by_ref))
        rows = self.fetch(self.SETTLE, {"settlements": document, "expired": expired})
        return {Ref(run_id, attempt): State(state) for run_id, attempt, state in rows}

    PURGE = """
        WITH ended AS (
            SELECT id
              FROM jobqueue_run
             WHERE id = ANY(ARRAY(SELECT value::bigint FROM json_array_elements_text(%(ids)s::json)))
               AND finished_at IS NOT NULL
               FOR UPDATE SKIP LOCKED
        ), purged AS (
            DELETE FROM jobqueue_run
                  WHERE id = ANY(ARRAY(SELECT id FROM ended))
              RETURNING id
        ), history AS (
            DELETE FROM jobqueue_attempt
                  WHERE run_id = ANY(ARRAY(SELECT id FROM purged))
        )
        SELECT id FROM purged
    """

    def purge(self, ids: Sequence[int]) -> list[int]:
        return [run_id for [run_id] in self.fetch(self.PURGE, {"ids": self.document(ids)})]

    RELEASE = """
        WITH ref AS (
            SELECT *
              FROM json_to_recordset(%(refs)s::json) AS ref(id bigint, attempt int)
        )
           UPDATE jobqueue_run AS run
              SET state = CASE WHEN run.cancel_requested_at IS NULL THEN 'pending' ELSE 'cancelled' END,
                  reason = CASE WHEN run.cancel_requested_at IS NOT NULL THEN 'cancelled' END,
                  finished_at = CASE WHEN run.cancel_requested_at IS NOT NULL THEN statement_timestamp() END,
                  run_at = CASE WHEN run.cancel_requested_at IS NULL
                                THEN statement_timestamp() + make_interval(secs => %(delay_seconds)s)
                                ELSE run.run_at END,
                  lease_until = NULL,
                  unique_lock = CASE WHEN run.unique_lock LIKE 'w%%' OR run.cancel_requested_at IS NULL
                                     THEN run.unique_lock END,
                  releases = run.releases + 1,
                  unknown_since = CASE WHEN %(unknown)s THEN COALESCE(run.unknown_since, statement_timestamp()) END
             FROM ref
            WHERE run.id = ANY(ARRAY(SELECT id FROM ref))
              AND run.id = ref.id
              AND run.attempt = ref.attempt
              AND run.lease_until IS NOT NULL
        RETURNING run.id, run.attempt, run.state
    """

    def release(self, refs: Sequence[Ref], *, delay_seconds: float = 0.0, unknown: bool = False) -> dict[Ref, State]:
        document = self.document(ref._asdict() for ref in in_lock_order(refs))
        rows = self.fetch(self.RELEASE, {"refs": document, "delay_seconds": delay_seconds, "unknown": unknown})
        return {Ref(run_id, attempt): State(state) for run_id, attempt, state in rows}

    EXPIRED = """
          SELECT id, attempt, queue, job, worker, crashes, delivery, concurrency_key
            FROM jobqueue_run
           WHERE namespace = %(namespace)s
             AND state = 'running'
             AND lease_until < statement_timestamp()
             AND queue NOT IN (SELECT json_array_elements_text(%(but)s::json))
        ORDER BY lease_until
           LIMIT %(limit)s
    """

    def reap(
        self,
        namespace: str,
        decide: Callable[[LostRun], Settlement | None],
        *,
        limit: int = 100,
        but: Sequence[str] = (),
        then: Callable[[dict[Ref, State]], None] | None = None,
    ) -> list[tuple[LostRun, State]]:
        rows = self.fetch(self.EXPIRED, {"namespace": namespace, "limit": limit, "but": self.document(but)})
        lost = [LostRun(*row) for row in rows]
        endings = [ending for run in lost if (ending := decide(run)) is not None]
        if not endings:
            return []
        with transaction.atomic(using=self.alias, savepoint=False):
            settled = self._settle(endings, expired=True)
            if then is not None:
                then(settled)
        return [(run, settled[run.ref]) for run in lost if run.ref in settled]

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

    def now(self) -> datetime:
        [[now]] = self.fetch("SELECT statement_timestamp()", {})
        return cast("datetime", now)

    DUE_SCHEDULES = """
        SELECT id,
               overlap <> 'allow' AND EXISTS (
                   SELECT FROM jobqueue_run WHERE schedule_id = schedule.id AND state IN ('pending', 'running'))
          FROM jobqueue_schedule AS schedule
         WHERE namespace = %(namespace)s
           AND enabled
           AND next_run_at <= %(now)s
           AND id <> ALL(ARRAY(SELECT json_array_elements_text(%(but)s::json)::bigint))
           AND NOT (overlap = 'queue' AND EXISTS (
                   SELECT FROM jobqueue_run WHERE schedule_id = schedule.id AND state IN ('pending', 'running')))
      ORDER BY next_run_at
         LIMIT %(limit)s
           FOR NO KEY UPDATE SKIP LOCKED
    """

    def due_schedules(self, namespace: str, *, now: datetime, limit: int, but: Sequence[int] = ()) -> list[Due]:
        parameters = {"namespace": namespace, "now": now, "limit": limit, "but": self.document(but)}
        return [Due(*row) for row in self.fetch(self.DUE_SCHEDULES, parameters)]

    ADVANCE_SCHEDULES = """
           UPDATE jobqueue_schedule AS schedule
              SET next_run_at = turn.next_run_at,
                  accounted_until = turn.accounted_until,
                  last_run_at = turn.last_run_at,
                  last_run_id = turn.last_run,
                  skipped_since = turn.skipped_since,
                  skip_reason = turn.skip_reason,
                  skipped = turn.skipped
             FROM json_to_recordset(%(advances)s::json) AS turn(
                  id bigint, next_run_at timestamptz, accounted_until timestamptz, last_run_at timestamptz,
                  last_run bigint, skipped_since timestamptz, skip_reason text, skipped int)
            WHERE schedule.id = turn.id
        RETURNING schedule.id
    """

    def advance_schedules(self, advances: Sequence[Advance]) -> None:
        self.fetch(self.ADVANCE_SCHEDULES, {"advances": self.document(columns(advance) for advance in advances)})

    def timestamps(self) -> Callable[[datetime], str]:
        return datetime.isoformat


def _ending(settlement: Settlement) -> dict[str, Any]:
    started_ago, finished_ago = seconds_ago(settlement, monotonic())
    return columns(settlement) | {"started_ago": started_ago, "finished_ago": finished_ago}
