"""Atomic jobs: what they do is committed together with what becomes of their run, or not at all.

The job takes no lock on its run. The last statement of its transaction settles the run, with the fence of every settlement:
where that matches no row, the run was taken over, and all is undone.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import NamedTuple

from django.db import transaction

from django_jobqueue.conf import get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import Claim, Settlement
from django_jobqueue.errors import TransactionBroken
from django_jobqueue.jobs import Completed
from django_jobqueue.states import Outcome, State
from django_jobqueue.worker.assignment import Assignment
from django_jobqueue.worker.connections import DATABASE_AWAY
from django_jobqueue.worker.verdict import handed_back

logger = logging.getLogger(__name__)

COMMITTED = (Outcome.COMPLETED, Outcome.SNOOZED)
"""What a job that returns may have come to, and what it did is kept."""

BUSY_SECONDS = 1.0
LONGEST_BUSY_SECONDS = 60.0
"""Until a run is tried again for which the database was too busy, or away; twice as long each time."""
MANY_RELEASES = 10
"""A run that was put back so often is unlikely to get through by itself."""


class NotBegun(Exception):
    """The database does not let the transaction begin: nothing of the job has run."""


class Fate(NamedTuple):
    """What became of an attempt."""

    settlement: Settlement
    state: State | None = None
    """Of the run, where that is committed; None where it is still to be settled."""
    sent: Settlement | None = None
    """What was written last, and is committed instead if the COMMIT came through, of which we have not heard."""


def settled_together(
    claim: Claim,
    call: Callable[[], Completed | BaseException],
    decide: Callable[[Completed | BaseException], Settlement],
    on_commit: Callable[[], None],
) -> Fate:
    """*Call* the job in a transaction, and commit what it did with what *decide* makes of it. Raises NotBegun.

    *On_commit* is called before all that the job wants to be called then.
    """
    attempt = _Transaction(claim, call, decide, on_commit)
    try:
        with transaction.atomic(using=attempt.database):
            attempt.work()
    except BaseException as error:
        return attempt.broken_by(error)
    return attempt.fate


def tell_of_writing(assignment: Assignment, writes: bool) -> None:
    """Let the lease say whether the transaction of an atomic job keeps everybody else from writing, us included."""
    if assignment.job.options.atomic and assignment.lease is not None:
        assignment.lease.excludes_writers = writes and engine_for(get_config().database).has_one_writer


def tell_of_commit(assignment: Assignment) -> None:
    """Let the lease say that its run is settled: what the job still does on commit, it may do to the end."""
    if assignment.lease is not None:
        assignment.lease.has_committed = True
        assignment.lease.excludes_writers = False


class _Transaction:
    """That of one attempt, and how far it has come."""

    fate: Fate
    _sent: Settlement | None = None

    def __init__(
        self,
        claim: Claim,
        call: Callable[[], Completed | BaseException],
        decide: Callable[[Completed | BaseException], Settlement],
        on_commit: Callable[[], None],
    ) -> None:
        config = get_config()
        self.database = config.database
        self._engine = engine_for(config.database)
        self._queue = config.queues[claim.queue]
        self._claim, self._call, self._decide, self._on_commit = claim, call, decide, on_commit
        self._begun = self._committed = False

    def work(self) -> None:
        """Call the job, and settle; in the transaction, which is to be rolled back where that leaves the run as it is."""
        transaction.on_commit(self._note_commit, using=self.database)  # before any that may fail
        self._engine.begin_to_write()
        self._engine.mark_transaction()
        self._begun = True
        end = self._call()
        settlement = self._decide(end)
        self.fate = Fate(settlement)
        if isinstance(end, BaseException):
            ours = self._engine.is_busy(end) or self._engine.has_lost_connection
            self.fate = (ours and self._disturbed(end)) or self.fate
        elif settlement.outcome in COMMITTED:
            self.fate = self._settled(settlement)
        if self.fate.state is None and self._engine.connection.in_atomic_block:
            transaction.set_rollback(True, using=self.database)

    def broken_by(self, error: BaseException) -> Fate:
        """What becomes of the attempt, whose transaction has ended with *error*: not of the job, but in our own hands."""
        claim = self._claim
        if self._committed:
            logger.error(
                "Run %d (%s.%s) is settled, but a function that was to be called on commit failed.",
                *(claim.id, claim.queue, claim.job),
                exc_info=error,
            )
            return self.fate
        if not self._begun:
            if isinstance(error, DATABASE_AWAY):
                raise NotBegun(f"its transaction cannot begin: {error}") from error
            raise error
        # Nobody knows whether a COMMIT without an answer came through: whoever settles this, finds out.
        return (self._disturbed(error) or Fate(self._decide(error)))._replace(sent=self._sent)

    def _settled(self, settlement: Settlement) -> Fate:
        connection = self._engine.connection
        if not connection.in_atomic_block or connection.needs_rollback or not self._engine.is_marked():
            raise TransactionBroken
        if self._queue.cleanup.purges_at_once(settlement.state):
            settlement.delete = True
        states = self._engine.settle([settlement])
        if (state := states.get(settlement.ref)) is not None:
            self._sent = settlement
            return Fate(settlement, state)
        return Fate(handed_back(self._claim, "The lease was lost: what the attempt had done is undone."))

    def _disturbed(self, error: BaseException) -> Fate | None:
        """What becomes of an attempt whose *error* is no failure of the job; None, where it is one."""
        if self._engine.is_busy(error):
            return self._put_back(f"The database was busy: {error}")
        if self._engine.is_away(error):
            return self._put_back(f"The database went away before the attempt was committed: {error}")
        return None

    def _put_back(self, why: str) -> Fate:
        """Start the run again in a while."""
        claim, why = self._claim, " ".join(why.split())  # drivers take several lines
        delay = min(LONGEST_BUSY_SECONDS, BUSY_SECONDS * 2 ** min(claim.releases, 10)) * random.uniform(0.5, 1.0)
        logger.log(
            logging.WARNING if claim.releases < MANY_RELEASES else logging.ERROR,
            "Run %d (%s.%s) is put back for %.1f s, for the %d. time, and what it did is undone. %s",
            *(claim.id, claim.queue, claim.job),
            *(delay, claim.releases + 1, why),
        )
        return Fate(handed_back(claim, why, delay_seconds=delay))

    def _note_commit(self) -> None:
        self._committed = True
        self._on_commit()
