"""SQLite: what is written of runs while they are ours."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from django.utils import timezone

from django_jobqueue.engines.base import Leases, Note, Ref, states
from django_jobqueue.engines.sqlite.database import SQLiteDatabase
from django_jobqueue.states import State


class SQLiteLeases(SQLiteDatabase, Leases):
    """Fences in single statements."""

    # RETURNING gives the column itself: SQLite 3.40 takes an IS NOT NULL there for true.
    RENEW = """
           UPDATE jobqueue_run
              SET lease_until = lease.lease_until
             FROM (SELECT json_extract(value, '$.id') AS id,
                          json_extract(value, '$.attempt') AS attempt,
                          json_extract(value, '$.lease_until') AS lease_until
                     FROM json_each(%(leases)s)) AS lease
            WHERE jobqueue_run.id = lease.id
              AND jobqueue_run.attempt = lease.attempt
              AND jobqueue_run.lease_until IS NOT NULL
        RETURNING id, attempt, cancel_requested_at
    """

    def renew(self, leases: Sequence[tuple[Ref, float]]) -> dict[Ref, bool]:
        now = timezone.now()
        document = self.document(
            ref._asdict() | {"lease_until": now + timedelta(seconds=seconds)} for ref, seconds in leases
        )
        rows = self.fetch(self.RENEW, {"leases": document})
        return {Ref(run_id, attempt): requested_at is not None for run_id, attempt, requested_at in rows}

    NOTE = """
           UPDATE jobqueue_run
              SET progress = COALESCE(note.progress, jobqueue_run.progress),
                  metadata = COALESCE(note.metadata, jobqueue_run.metadata)
             FROM (SELECT json_extract(value, '$.id') AS id,
                          json_extract(value, '$.attempt') AS attempt,
                          json_extract(value, '$.progress') AS progress,
                          json_extract(value, '$.metadata') AS metadata
                     FROM json_each(%(notes)s)) AS note
            WHERE jobqueue_run.id = note.id
              AND jobqueue_run.attempt = note.attempt
              AND jobqueue_run.lease_until IS NOT NULL
        RETURNING id, attempt
    """

    def note(self, notes: Sequence[Note]) -> set[Ref]:
        document = self.document(note._asdict() for note in notes)
        return {Ref(*row) for row in self.fetch(self.NOTE, {"notes": document})}

    RELEASE = """
           UPDATE jobqueue_run
              SET state = CASE WHEN cancel_requested_at IS NULL THEN 'pending' ELSE 'cancelled' END,
                  reason = CASE WHEN cancel_requested_at IS NOT NULL THEN 'cancelled' END,
                  finished_at = CASE WHEN cancel_requested_at IS NOT NULL THEN %(now)s END,
                  run_at = CASE WHEN cancel_requested_at IS NULL
                                THEN COALESCE(%(run_at)s, MIN(run_at, %(now)s))
                                ELSE run_at END,
                  lease_until = NULL,
                  unique_lock = CASE WHEN unique_lock LIKE 'w%%' OR cancel_requested_at IS NULL THEN unique_lock END,
                  releases = releases + 1,
                  unknown_since = CASE WHEN %(unknown)s THEN COALESCE(unknown_since, %(now)s) END
             FROM (SELECT json_extract(value, '$.id') AS id,
                          json_extract(value, '$.attempt') AS attempt
                     FROM json_each(%(refs)s)) AS ref
            WHERE jobqueue_run.id = ref.id
              AND jobqueue_run.attempt = ref.attempt
              AND jobqueue_run.lease_until IS NOT NULL
        RETURNING id, attempt, state
    """

    def release(
        self, refs: Sequence[Ref], *, delay_seconds: float | None = None, unknown: bool = False
    ) -> dict[Ref, State]:
        now, text = timezone.now(), self.timestamps()
        parameters = {
            "refs": self.document(ref._asdict() for ref in refs),
            "now": text(now),
            "run_at": None if delay_seconds is None else text(now + timedelta(seconds=delay_seconds)),
            "unknown": unknown,
        }
        return states(self.fetch(self.RELEASE, parameters))
