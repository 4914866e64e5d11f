"""SQLite: how attempts end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from django.db import transaction
from django.utils import timezone

from django_jobqueue.engines.base import Ref, Settlement, Settling, seconds_ago, states
from django_jobqueue.engines.sqlite.deleting import SQLiteDeleting
from django_jobqueue.states import State


class SQLiteSettling(SQLiteDeleting, Settling):
    """Ends runs, then writes their attempts."""

    # A run that is asked to cancel goes neither back to pending nor to the dead letter; one whose lease is over takes no
    # other end either.
    SETTLE = """
           UPDATE jobqueue_run
              SET state = CASE WHEN cancel_requested_at IS NOT NULL AND (ending.state IN ('pending', 'dead_lettered') OR %(expired)s)
                               THEN 'cancelled' ELSE ending.state END,
                  reason = CASE WHEN cancel_requested_at IS NOT NULL AND (ending.state IN ('pending', 'dead_lettered') OR %(expired)s)
                                THEN 'cancelled' ELSE ending.reason END,
                  finished_at = CASE WHEN cancel_requested_at IS NOT NULL OR ending.state <> 'pending'
                                     THEN %(now)s END,
                  run_at = CASE WHEN ending.state = 'pending' AND cancel_requested_at IS NULL
                                THEN ending.run_at ELSE jobqueue_run.run_at END,
                  lease_until = NULL,
                  unknown_since = NULL,
                  unique_lock = CASE WHEN unique_lock LIKE 'w%%'
                                       OR (cancel_requested_at IS NULL AND ending.state = 'pending')
                                     THEN unique_lock END,
                  failures = failures + (ending.counter IS 'failures'),
                  crashes = crashes + (ending.counter IS 'crashes'),
                  snoozes = snoozes + (ending.counter IS 'snoozes'),
                  releases = releases + (ending.counter IS 'releases'),
                  result = ending.result,
                  error = ending.error,
                  progress = COALESCE(ending.progress, jobqueue_run.progress),
                  metadata = COALESCE(ending.metadata, jobqueue_run.metadata)
             FROM (SELECT json_extract(value, '$.id') AS id,
                          json_extract(value, '$.attempt') AS attempt,
                          json_extract(value, '$.state') AS state,
                          json_extract(value, '$.reason') AS reason,
                          json_extract(value, '$.counter') AS counter,
                          json_extract(value, '$.run_at') AS run_at,
                          json_extract(value, '$.result') AS result,
                          json_extract(value, '$.error') AS error,
                          json_extract(value, '$.progress') AS progress,
                          json_extract(value, '$.metadata') AS metadata
                     FROM json_each(%(settlements)s)) AS ending
            WHERE jobqueue_run.id = ending.id
              AND jobqueue_run.attempt = ending.attempt
              AND jobqueue_run.lease_until IS NOT NULL
              AND (jobqueue_run.lease_until < %(now)s OR NOT %(expired)s)
        RETURNING id, attempt, state
    """

    RECORD = """
        INSERT INTO jobqueue_attempt (run_id, number, worker, started_at, finished_at, outcome, error, traceback)
        SELECT run.id, run.attempt, run.worker,
               COALESCE(json_extract(value, '$.started_at'), run.started_at), json_extract(value, '$.finished_at'),
               CASE run.state WHEN 'cancelled' THEN 'cancelled' ELSE json_extract(value, '$.outcome') END,
               json_extract(value, '$.error'), json_extract(value, '$.traceback')
          FROM json_each(%(attempts)s)
    CROSS JOIN jobqueue_run AS run
         WHERE run.id = json_extract(value, '$.id')
     RETURNING number
    """

    def _settle(self, settlements: Sequence[Settlement], *, expired: bool) -> dict[Ref, State]:
        now, ticks = timezone.now(), monotonic()
        by_ref = {settlement.ref: settlement for settlement in settlements}
        parameters = {
            "settlements": self.document(_ending(settlement, now) for settlement in by_ref.values()),
            "now": self.timestamps()(now),
            "expired": expired,
        }
        with transaction.atomic(using=self.alias, savepoint=False):
            settled = states(self.fetch(self.SETTLE, parameters))
            history = self.document(_history(by_ref[ref], now, ticks) for ref in settled)
            self.fetch(self.RECORD, {"attempts": history})
        return settled


def _ending(settlement: Settlement, now: datetime) -> dict[str, Any]:
    """What becomes of the run."""
    again = settlement.state == State.PENDING
    return {
        "id": settlement.id,
        "attempt": settlement.attempt,
        "state": settlement.state,
        "reason": settlement.reason,
        "counter": settlement.counter,
        "run_at": (settlement.run_at or now) + timedelta(seconds=settlement.delay_seconds) if again else None,
        "result": settlement.result,
        "error": settlement.error,
        "progress": settlement.progress,
        "metadata": settlement.metadata,
    }


def _history(settlement: Settlement, now: datetime, ticks: float) -> dict[str, Any]:
    """What is kept of the attempt. *Ticks* is *now* by ``time.monotonic()``."""
    started_ago, finished_ago = seconds_ago(settlement, ticks)
    return {
        "id": settlement.id,
        "outcome": settlement.outcome,
        "started_at": None if started_ago is None else now - timedelta(seconds=started_ago),
        "finished_at": now - timedelta(seconds=finished_ago),
        "error": settlement.error,
        "traceback": settlement.traceback,
    }
