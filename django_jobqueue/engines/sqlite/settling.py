"""SQLite: how attempts end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import cache
from time import monotonic, time

from django.db import transaction
from django.utils import timezone

from django_jobqueue.engines.base import Ref, Settlement, Settling, states
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
             FROM (SELECT json_extract(value, '$[0]') AS id,
                          json_extract(value, '$[1]') AS attempt,
                          json_extract(value, '$[2]') AS state,
                          json_extract(value, '$[3]') AS reason,
                          json_extract(value, '$[4]') AS counter,
                          json_extract(value, '$[5]') AS run_at,
                          json_extract(value, '$[6]') AS result,
                          json_extract(value, '$[7]') AS error,
                          json_extract(value, '$[8]') AS progress,
                          json_extract(value, '$[9]') AS metadata
                     FROM json_each(%(endings)s)) AS ending
            WHERE jobqueue_run.id = ending.id
              AND jobqueue_run.attempt = ending.attempt
              AND jobqueue_run.lease_until IS NOT NULL
              AND (jobqueue_run.lease_until < %(now)s OR NOT %(expired)s)
        RETURNING id, attempt, state
    """

    RECORD = """
        INSERT INTO jobqueue_attempt (run_id, number, worker, started_at, finished_at, outcome, error, traceback)
        SELECT run.id, run.attempt, run.worker,
               COALESCE(json_extract(value, '$[11]'), run.started_at), json_extract(value, '$[12]'),
               CASE run.state WHEN 'cancelled' THEN 'cancelled' ELSE json_extract(value, '$[10]') END,
               json_extract(value, '$[7]'), json_extract(value, '$[13]')
          FROM json_each(%(endings)s)
    CROSS JOIN jobqueue_run AS run
         WHERE run.id = json_extract(value, '$[0]')
    """

    def _settle(self, settlements: Sequence[Settlement], *, expired: bool) -> dict[Ref, State]:
        now = timezone.now()
        text = self._texts(_zero())
        rows = {settlement.ref: _row(settlement, now, text) for settlement in settlements}
        document = self.document(rows.values())
        parameters = {"endings": document, "now": self.timestamps()(now), "expired": expired}
        with transaction.atomic(using=self.alias, savepoint=False):
            settled = states(self.fetch(self.SETTLE, parameters))
            if len(settled) < len(rows):
                document = self.document(rows[ref] for ref in settled)
            self.fetch(self.RECORD, {"endings": document})
        return settled

    def _texts(self, zero: float) -> Callable[[float], str]:
        """What writes a moment of the monotonic clock, which stood at nought at the timestamp *zero*."""
        zone = self.connection.timezone

        @cache
        def whole(seconds: float) -> str:
            return str(datetime.fromtimestamp(seconds, zone).replace(tzinfo=None))

        def text(ticks: float) -> str:
            seconds, part = divmod(zero + ticks, 1)
            return f"{whole(seconds)}.{int(part * 1_000_000):06}"

        return text


def _zero() -> float:
    """The timestamp at which the monotonic clock stood at nought: of three readings the one that was disturbed least."""
    readings = []
    for _ in range(3):
        before, now, after = monotonic(), time(), monotonic()
        readings.append((after - before, now - after))
    return min(readings)[1]


def _row(settlement: Settlement, now: datetime, text: Callable[[float], str]) -> tuple[object, ...]:
    """What becomes of the run, and is kept of the attempt, in the order of the statements.

    *Text* writes a moment of ``time.monotonic()``.
    """
    again = settlement.state == State.PENDING
    return (
        *settlement.ref,
        settlement.state,
        settlement.reason,
        settlement.counter,
        (settlement.run_at or now) + timedelta(seconds=settlement.delay_seconds) if again else None,
        settlement.result,
        settlement.error,
        settlement.progress,
        settlement.metadata,
        settlement.outcome,
        None if settlement.started is None else text(settlement.started),
        now if settlement.finished is None else text(settlement.finished),
        settlement.traceback,
    )
