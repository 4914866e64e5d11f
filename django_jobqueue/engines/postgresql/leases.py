"""PostgreSQL: what is written of runs while they are ours."""

from __future__ import annotations

from collections.abc import Sequence

from django_jobqueue.engines.base import Leases, Note, Ref, in_lock_order, states
from django_jobqueue.engines.postgresql.database import PostgreSQLDatabase
from django_jobqueue.states import State


class PostgreSQLLeases(PostgreSQLDatabase, Leases):
    """Waits for nobody, where it can be done another time."""

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

    HOLD_FREE = """
        WITH ref AS (
            SELECT *
              FROM json_to_recordset(%(refs)s::json) AS ref(id bigint, attempt int)
        )
        SELECT run.id, run.attempt
          FROM jobqueue_run AS run
          JOIN ref USING (id, attempt)
         WHERE run.id = ANY(ARRAY(SELECT id FROM ref))
           AND run.lease_until IS NOT NULL
           FOR NO KEY UPDATE OF run SKIP LOCKED
    """

    def hold_free(self, refs: Sequence[Ref]) -> set[Ref]:
        document = self.document(ref._asdict() for ref in refs)
        return {Ref(*row) for row in self.fetch(self.HOLD_FREE, {"refs": document})}

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
                                THEN COALESCE(statement_timestamp() + make_interval(secs => %(delay_seconds)s),
                                              LEAST(run.run_at, statement_timestamp()))
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

    def release(
        self, refs: Sequence[Ref], *, delay_seconds: float | None = None, unknown: bool = False
    ) -> dict[Ref, State]:
        document = self.document(ref._asdict() for ref in in_lock_order(refs))
        rows = self.fetch(self.RELEASE, {"refs": document, "delay_seconds": delay_seconds, "unknown": unknown})
        return states(rows)
