"""The settler: it writes how the attempts of a worker have ended, together if it can, and each in some words if it must."""

from __future__ import annotations

import logging
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from django.db import transaction

from django_jobqueue.conf import get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import Claim, Ref, Settlement
from django_jobqueue.states import FINAL_STATES, Outcome, Reason, State
from django_jobqueue.worker.dead_letters import Followers, add_followers, followers_of
from django_jobqueue.worker.leases import Lease, Leases
from django_jobqueue.worker.receipts import receipts
from django_jobqueue.worker.runner import Ended
from django_jobqueue.worker.verdict import handed_back

logger = logging.getLogger(__name__)


class Endings(NamedTuple):
    """Attempts as they are to be settled."""

    attempts: Sequence[Ended]
    followers: Followers
    """What is to be added for those that are dead-lettered."""

    @property
    def claims(self) -> list[Claim]:
        return [attempt.claim for attempt in self.attempts]

    @property
    def refs(self) -> list[Ref]:
        return [attempt.ref for attempt in self.attempts]

    def without(self, refs: Container[Ref]) -> Endings:
        """Those of other attempts."""
        return self._replace(attempts=[attempt for attempt in self.attempts if attempt.ref not in refs])


class Settler:
    """Settles the attempts of one worker. Every method that writes answers with the states of the runs that were still ours.

    Those too that were settled before: by their job, or by us, when only the reply was lost.
    """

    def __init__(self, worker: str, leases: Leases) -> None:
        config = get_config()
        self._worker = worker
        self._leases = leases
        self._database = config.database
        self._engine = engine_for(config.database)
        self._not_kept = {
            (queue.name, state)
            for queue in config.queues.values()
            for state in FINAL_STATES
            if queue.cleanup.purges_at_once(state)
        }
        """The ends, in which queues, after which a run is purged at once."""
        self.given_up: set[Ref] = set()
        """Attempts that the database would not settle in any words: they are left to the reapers."""

    def endings(self, ended: Sequence[Ended]) -> Endings:
        """What has *ended*, as it is to be settled. Not in the transaction that settles: it asks the project."""
        attempts = [self._spared(attempt) for attempt in ended]
        for attempt in attempts if self._not_kept else ():
            if (attempt.claim.queue, attempt.settlement.state) in self._not_kept:
                attempt.settlement.delete = True
        return Endings(attempts, followers_of((attempt.claim, attempt.settlement) for attempt in attempts))

    def settle(self, endings: Endings) -> dict[Ref, State]:
        """Settle all in one statement, in the transaction of the caller."""
        settled = {attempt.ref: attempt.state for attempt in endings.attempts if attempt.state is not None}
        settlements = [attempt.settlement for attempt in endings.attempts if attempt.state is None]
        if not settlements:
            return settled
        states = self._engine.settle(settlements)
        add_followers(endings.followers, states)
        if len(states) < len(settlements):
            missing = [settlement for settlement in settlements if settlement.ref not in states]
            sent = [attempt.sent for attempt in endings.attempts if attempt.sent and attempt.ref not in states]
            states |= receipts(self._worker, [*missing, *sent])
        return states | settled

    def settle_each(self, endings: Endings) -> dict[Ref, State]:
        """Settle one by one, each in a transaction of its own, because an error keeps them from being settled together."""
        states: dict[Ref, State] = {}
        for attempt in endings.attempts:
            try:
                states |= self._settle_alone(attempt, endings.followers)
            except Exception as error:
                if self._engine.is_passing(error):
                    raise
                states |= self._settle_plainly(attempt, endings.followers, error)
        return states

    def settled(self, endings: Endings, states: Mapping[Ref, State]) -> list[tuple[Ended, State]]:
        """Pair each attempt with the state of its run; tell of those whose run was taken over."""
        settled: list[tuple[Ended, State]] = []
        for attempt in endings.attempts:
            if (state := states.get(attempt.ref)) is not None:
                settled.append((_as_settled(attempt, state), state))
            elif attempt.ref not in self.given_up:
                logger.warning(
                    "Lease lost, result dropped: run %d (%s.%s) was taken over during attempt %d, which ended %s.",
                    *(attempt.claim.id, attempt.claim.queue, attempt.claim.job),
                    *(attempt.claim.attempt, attempt.settlement.outcome),
                )
        return settled

    def _spared(self, attempt: Ended) -> Ended:
        """An attempt as it is to be settled: one that we asked to end because the database was away has not failed.

        Nor was it cancelled, whatever its job says: that is how a job obeys. What a person has cancelled stays so.
        """
        if attempt.settlement.counter != "failures" and attempt.settlement.outcome != Outcome.CANCELLED:
            return attempt
        lease = self._leases.get(attempt.ref)
        if lease is None or lease.doubted_at is None or _ended_before(attempt, lease.doubted_at):
            return attempt
        return abandoned(lease, "The lease could not be renewed, and the job was asked to end.")

    def _settle_alone(self, attempt: Ended, followers: Followers) -> dict[Ref, State]:
        """Settle one, and do nothing else, in a transaction."""
        settle = transaction.atomic(using=self._database)(self.settle)
        return self._engine.insist(partial(settle, Endings([attempt], followers)))

    def _settle_plainly(self, attempt: Ended, followers: Followers, error: Exception) -> dict[Ref, State]:
        """Write what the database has refused without the job's own words. Where it refuses that too, the lease may end."""
        plainly = replace(
            attempt.settlement,
            result=None,
            error=f"What came of this attempt could not be stored: {type(error).__name__}.",
            traceback=None,
            progress=None,
            metadata=None,
            run_at=None,
            delay_seconds=1.0,
        )
        try:
            return self._settle_alone(attempt._replace(settlement=plainly), followers)
        except Exception as again:
            if self._engine.is_passing(again):
                raise
            logger.exception(
                "Attempt %d of run %d ended %s, which the database refuses to store: the run is taken for lost when its lease ends.",
                *(attempt.claim.attempt, attempt.claim.id, attempt.settlement.outcome),
            )
            self.given_up.add(attempt.ref)
            return {}


def abandoned(lease: Lease, why: str) -> Ended:
    """An attempt whose run is handed back, with what its job has said until now."""
    settlement = handed_back(lease.claim, why)
    if lease.notes is not None:
        settlement.progress, settlement.metadata = lease.notes.said
    return Ended(lease.claim, settlement)


def _ended_before(attempt: Ended, moment: float) -> bool:
    """Whether an attempt had ended by *moment*, and only waited to be settled."""
    return attempt.settlement.finished is not None and attempt.settlement.finished < moment


def _as_settled(attempt: Ended, state: State) -> Ended:
    """*Attempt*, as it is recorded: an atomic job may have settled it as completed, without us getting to hear of it."""
    settlement = attempt.settlement
    if state != State.COMPLETED or settlement.outcome == Outcome.COMPLETED:
        return attempt
    completed = Settlement(attempt.ref, outcome=Outcome.COMPLETED, state=state, reason=Reason.RETURNED)
    completed.started, completed.finished = settlement.started, settlement.finished
    return attempt._replace(settlement=completed)
