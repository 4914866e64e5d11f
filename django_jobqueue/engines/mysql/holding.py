"""MySQL: locking the runs that are about to be written."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from django_jobqueue.engines.base import Ref, in_lock_order
from django_jobqueue.engines.mysql.database import NOW, MySQLDatabase


class Held(NamedTuple):
    """What is known of a run that we hold."""

    cancel_requested: bool
    moment: datetime
    """When that was, as the columns have it."""


class MySQLHolding(MySQLDatabase):
    """Locks running runs, in the order of their ids, and tells which of them are still ours: the fence."""

    HOLD = f"""
               SELECT run.id, run.attempt, run.cancel_requested_at IS NOT NULL, {NOW}
                 FROM (SELECT *
                         FROM JSON_TABLE(%(refs)s, '$[*]' COLUMNS (
                              id BIGINT PATH '$.id',
                              attempt INT PATH '$.attempt')) AS listed) AS ref
        STRAIGHT_JOIN jobqueue_run AS run FORCE INDEX (PRIMARY)
                   ON run.id = ref.id
                WHERE run.attempt = ref.attempt
                  AND run.lease_until IS NOT NULL
                  AND (run.lease_until < {NOW} OR NOT %(expired)s)
                  FOR UPDATE
    """

    HOLD_FREE = f"""
        {HOLD}
            SKIP LOCKED
    """

    def hold(self, refs: Iterable[Ref], *, expired: bool = False) -> dict[Ref, Held]:
        """Lock those of *refs* that are still ours, if *expired* only those whose lease is over; wait for others."""
        return self._held(self.HOLD, refs, expired=expired)

    def hold_free(self, refs: Iterable[Ref], *, expired: bool = False) -> dict[Ref, Held]:
        """``hold`` what nobody else has locked: whoever waits for nobody takes part in no deadlock."""
        return self._held(self.HOLD_FREE, refs, expired=expired)

    def _held(self, sql: str, refs: Iterable[Ref], *, expired: bool) -> dict[Ref, Held]:
        document = self.document(ref._asdict() for ref in in_lock_order(refs))
        rows = self.fetch(sql, {"refs": document, "expired": expired})
        return {Ref(run_id, attempt): Held(bool(cancel), moment) for run_id, attempt, cancel, moment in rows}
