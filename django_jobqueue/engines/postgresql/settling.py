"""PostgreSQL: how attempts end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from time import monotonic
from typing import Any

from django_jobqueue.engines.base import Ref, Settlement, Settling, in_lock_order, states
from django_jobqueue.engines.postgresql.deleting import PostgreSQLDeleting
from django_jobqueue.states import State

OF_ATTEMPT = {
    "ref.id": "ids",
    "ref.attempt": "attempts",
    "started": "starts",
    "finished": "finishes",
    "result": "results",
}
"""What each attempt has of its own, and the column of a document that has those of all."""
IN_COMMON = tuple(name for name in Settlement.__slots__ if name != "ref" and name not in OF_ATTEMPT)

_own, _common = attrgetter(*OF_ATTEMPT), attrgetter(*IN_COMMON)


class PostgreSQLSettling(PostgreSQLDeleting, Settling):
    """Ends runs and writes their attempts in one statement."""

    # Ticks are seconds of the worker's monotonic clock: what the job took is told by it, and only then by the database's.
    # A run that is asked to cancel goes neither back to pending nor to the dead letter; one whose lease is over takes no
    # other end either.
    SETTLE = """
        WITH ending AS (
            SELECT ended.*, outcome, state, reason, counter, run_at, delay_seconds, error, traceback, progress, metadata
              FROM json_to_recordset(%(settlements)s::json) AS alike(
                   outcome text, state text, reason text, counter text, run_at timestamptz,
                   delay_seconds double precision, error text, traceback text, progress text, metadata text,
                   ids bigint[], attempts int[], starts double precision[], finishes double precision[], results text[])
        CROSS JOIN LATERAL unnest(ids, attempts, starts, finishes, results)
                AS ended(id, attempt, started, finished, result)
        ), settled AS (
            UPDATE jobqueue_run AS run
               SET state = CASE WHEN run.cancel_requested_at IS NOT NULL
                                 AND (ending.state IN ('pending', 'dead_lettered') OR %(expired)s)
                                THEN 'cancelled' ELSE ending.state END,
                   reason = CASE WHEN run.cancel_requested_at IS NOT NULL
                                  AND (ending.state IN ('pending', 'dead_lettered') OR %(expired)s)
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
                   COALESCE(statement_timestamp() - make_interval(secs => %(ticks)s - ending.started), settled.started_at),
                   statement_timestamp() - make_interval(secs => COALESCE(%(ticks)s - ending.finished, 0)),
                   CASE settled.state WHEN 'cancelled' THEN 'cancelled' ELSE ending.outcome END,
                   ending.error, ending.traceback
              FROM settled
              JOIN ending USING (id, attempt)
        )
        SELECT id, attempt, state FROM settled
    """

    def _settle(self, settlements: Sequence[Settlement], *, expired: bool) -> dict[Ref, State]:
        by_ref = {settlement.ref: settlement for settlement in settlements}
        document = self.document(_alike(by_ref[ref] for ref in in_lock_order(by_ref)))
        rows = self.fetch(self.SETTLE, {"settlements": document, "expired": expired, "ticks": monotonic()})
        return states(rows)


def _alike(settlements: Iterable[Settlement]) -> Iterator[dict[str, Any]]:
    """The columns of a document: one copy of what neighbours have in common. Most attempts of a batch end in one way."""
    for common, alike in groupby(settlements, _common):
        said = {name: value for name, value in zip(IN_COMMON, common, strict=True) if value is not None}
        yield said | dict(zip(OF_ATTEMPT.values(), zip(*map(_own, alike), strict=True), strict=True))
