"""MySQL: how attempts end."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Any

from django_jobqueue.engines.base import Ref, Settlement, Settling
from django_jobqueue.engines.mysql.database import microseconds, packets
from django_jobqueue.engines.mysql.deleting import MySQLDeleting
from django_jobqueue.states import Reason, State


class MySQLSettling(MySQLDeleting, Settling):
    """Settles, then writes the attempts."""

    SETTLE = """
               UPDATE JSON_TABLE(%(endings)s, '$[*]' COLUMNS (
                      id BIGINT PATH '$.id',
                      state VARCHAR(16) PATH '$.state',
                      reason VARCHAR(32) PATH '$.reason',
                      counter VARCHAR(16) PATH '$.counter',
                      run_at DATETIME(6) PATH '$.run_at',
                      delay BIGINT PATH '$.delay',
                      result LONGTEXT PATH '$.result',
                      error LONGTEXT PATH '$.error',
                      progress LONGTEXT PATH '$.progress',
                      metadata LONGTEXT PATH '$.metadata')) AS ending
        STRAIGHT_JOIN jobqueue_run AS run FORCE INDEX (PRIMARY)
                   ON run.id = ending.id
                  SET run.state = ending.state,
                      run.reason = ending.reason,
                      run.finished_at = CASE WHEN ending.state <> 'pending' THEN %(now)s END,
                      run.run_at = CASE ending.state
                                   WHEN 'pending' THEN COALESCE(ending.run_at, %(now)s) + INTERVAL ending.delay MICROSECOND
                                   ELSE run.run_at END,
                      run.lease_until = NULL,
                      run.unknown_since = NULL,
                      run.unique_lock = CASE WHEN ending.state = 'pending' OR run.unique_lock LIKE 'w%%'
                                             THEN run.unique_lock END,
                      run.failures = run.failures + (ending.counter <=> 'failures'),
                      run.crashes = run.crashes + (ending.counter <=> 'crashes'),
                      run.snoozes = run.snoozes + (ending.counter <=> 'snoozes'),
                      run.releases = run.releases + (ending.counter <=> 'releases'),
                      run.result = ending.result,
                      run.error = ending.error,
                      run.progress = COALESCE(ending.progress, run.progress),
                      run.metadata = COALESCE(ending.metadata, run.metadata)
    """

    RECORD = """
          INSERT INTO jobqueue_attempt (run_id, number, worker, started_at, finished_at, outcome, error, traceback)
               SELECT run.id, run.attempt, run.worker,
                      COALESCE(%(now)s - INTERVAL ending.started_ago MICROSECOND, run.started_at),
                      %(now)s - INTERVAL ending.finished_ago MICROSECOND,
                      ending.outcome, ending.error, ending.traceback
                 FROM JSON_TABLE(%(endings)s, '$[*]' COLUMNS (
                      id BIGINT PATH '$.id',
                      started_ago BIGINT PATH '$.started_ago',
                      finished_ago BIGINT PATH '$.finished_ago',
                      outcome VARCHAR(16) PATH '$.outcome',
                      error LONGTEXT PATH '$.error',
                      traceback LONGTEXT PATH '$.traceback')) AS ending
        STRAIGHT_JOIN jobqueue_run AS run FORCE INDEX (PRIMARY)
                   ON run.id = ending.id
    """

    def _settle(self, settlements: Sequence[Settlement], *, expired: bool) -> dict[Ref, State]:
        by_ref = {settlement.ref: settlement for settlement in settlements}

        def settle() -> dict[Ref, State]:
            ticks = monotonic()
            held = self.hold(by_ref, expired=expired)
            endings = {
                ref: _ending(
                    by_ref[ref], ticks, cancelled=run.cancel_requested and (expired or _is_unfinished(by_ref[ref]))
                )
                for ref, run in held.items()
            }
            for packet in packets(endings.values(), dict.values):
                [now] = {run.moment for run in held.values()}
                parameters = {"endings": self.document(packet), "now": now}
                self.fetch(self.SETTLE, parameters)
                self.fetch(self.RECORD, parameters)
            return {ref: State(ending["state"]) for ref, ending in endings.items()}

        return self.together(settle)


def _is_unfinished(settlement: Settlement) -> bool:
    """Whether the job has come to no end of its own."""
    return settlement.state in (State.PENDING, State.DEAD_LETTERED)


def _ending(settlement: Settlement, ticks: float, *, cancelled: bool) -> dict[str, Any]:
    """What becomes of the run, and is kept of the attempt.

    A run that is asked to cancel goes neither back to pending nor to the dead letter; one whose lease is over takes no
    other end either.
    """
    return {
        "id": settlement.ref.id,
        "outcome": State.CANCELLED if cancelled else settlement.outcome,
        "state": State.CANCELLED if cancelled else settlement.state,
        "reason": Reason.CANCELLED if cancelled else settlement.reason,
        "counter": settlement.counter,
        "run_at": settlement.run_at,
        "delay": microseconds(settlement.delay_seconds),
        "result": settlement.result,
        "error": settlement.error,
        "traceback": settlement.traceback,
        "progress": settlement.progress,
        "metadata": settlement.metadata,
        "started_ago": None if settlement.started is None else microseconds(ticks - settlement.started),
        "finished_ago": 0 if settlement.finished is None else microseconds(ticks - settlement.finished),
    }
