"""MySQL: what is written of runs while they are ours."""

from __future__ import annotations

from collections.abc import Sequence

from django_jobqueue.engines.base import Leases, Note, Ref
from django_jobqueue.engines.mysql.database import NOW, microseconds
from django_jobqueue.engines.mysql.holding import MySQLHolding
from django_jobqueue.states import State


class MySQLLeases(MySQLHolding, Leases):
    """Renews leases, and notes what is said, of runs that nobody else has locked; those that are, come next time."""

    RENEW = f"""
               UPDATE JSON_TABLE(%(leases)s, '$[*]' COLUMNS (
                      id BIGINT PATH '$.id',
                      length BIGINT PATH '$.length')) AS lease
        STRAIGHT_JOIN jobqueue_run AS run FORCE INDEX (PRIMARY)
                   ON run.id = lease.id
                  SET run.lease_until = {NOW} + INTERVAL lease.length MICROSECOND
    """

    def renew(self, leases: Sequence[tuple[Ref, float]]) -> dict[Ref, bool]:
        lengths = {ref: microseconds(seconds) for ref, seconds in leases}

        def renew() -> dict[Ref, bool]:
            held = self.hold_free(lengths)
            self.fetch(self.RENEW, {"leases": self.document({"id": ref.id, "length": lengths[ref]} for ref in held)})
            return {ref: run.cancel_requested for ref, run in held.items()}

        return self.together(renew)

    NOTE = """
               UPDATE JSON_TABLE(%(notes)s, '$[*]' COLUMNS (
                      id BIGINT PATH '$.id',
                      progress LONGTEXT PATH '$.progress',
                      metadata LONGTEXT PATH '$.metadata')) AS note
        STRAIGHT_JOIN jobqueue_run AS run FORCE INDEX (PRIMARY)
                   ON run.id = note.id
                  SET run.progress = COALESCE(note.progress, run.progress),
                      run.metadata = COALESCE(note.metadata, run.metadata)
    """

    def note(self, notes: Sequence[Note]) -> set[Ref]:
        by_ref = {note.ref: note for note in notes}

        def note() -> set[Ref]:
            held = set(self.hold_free(by_ref))
            self.fetch(self.NOTE, {"notes": self.document(by_ref[ref]._asdict() for ref in held)})
            return held

        return self.together(note)

    RELEASE = f"""
               UPDATE JSON_TABLE(%(endings)s, '$[*]' COLUMNS (
                      id BIGINT PATH '$.id',
                      state VARCHAR(16) PATH '$.state')) AS ending
        STRAIGHT_JOIN jobqueue_run AS run FORCE INDEX (PRIMARY)
                   ON run.id = ending.id
                  SET run.state = ending.state,
                      run.reason = CASE ending.state WHEN 'cancelled' THEN 'cancelled' END,
                      run.finished_at = CASE ending.state WHEN 'cancelled' THEN {NOW} END,
                      run.run_at = CASE ending.state
                                   WHEN 'cancelled' THEN run.run_at
                                   ELSE COALESCE({NOW} + INTERVAL %(delay)s MICROSECOND, LEAST(run.run_at, {NOW})) END,
                      run.lease_until = NULL,
                      run.unique_lock = CASE WHEN ending.state = 'pending' OR run.unique_lock LIKE 'w%%'
                                             THEN run.unique_lock END,
                      run.releases = run.releases + 1,
                      run.unknown_since = CASE WHEN %(unknown)s THEN COALESCE(run.unknown_since, {NOW}) END
    """

    def release(
        self, refs: Sequence[Ref], *, delay_seconds: float | None = None, unknown: bool = False
    ) -> dict[Ref, State]:
        parameters = {"delay": None if delay_seconds is None else microseconds(delay_seconds), "unknown": unknown}

        def release() -> dict[Ref, State]:
            states = {
                ref: State.CANCELLED if run.cancel_requested else State.PENDING for ref, run in self.hold(refs).items()
            }
            endings = self.document({"id": ref.id, "state": state} for ref, state in states.items())
            self.fetch(self.RELEASE, parameters | {"endings": endings})
            return states

        return self.together(release)
