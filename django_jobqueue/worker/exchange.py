"""What a worker trades with the database: how its attempts ended, for new claims."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic

from django.db import transaction

from django_jobqueue.conf import get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import Claim, Ref, Settlement
from django_jobqueue.limiting.limiter import Limiter
from django_jobqueue.limiting.turn import Claimed, Freed, Turn
from django_jobqueue.models import Run
from django_jobqueue.states import FINAL_STATES, Outcome, Reason, State
from django_jobqueue.worker.connections import DATABASE_AWAY
from django_jobqueue.worker.dead_letters import Followers, add_followers, followers_of
from django_jobqueue.worker.leases import Lease, Leases
from django_jobqueue.worker.receipts import receipts
from django_jobqueue.worker.runner import Ended
from django_jobqueue.worker.shares import Ask, Share, Shares
from django_jobqueue.worker.verdict import handed_back

logger = logging.getLogger(__name__)

NOT_TOGETHER = "%d attempts could not be settled together, and are settled one by one."


@dataclass(frozen=True, slots=True)
class Trade:
    """What came of one transaction."""

    settled: list[tuple[Ended, State]]
    leases: list[Lease]
    """Of what was claimed."""
    more: bool
    """Whether a queue had as many due runs as were asked of it, and so may have more."""

    @property
    def claims(self) -> list[Claim]:
        return [lease.claim for lease in self.leases]


class Exchange:
    """The database as one worker uses it. Every method leaves *leases* as the database has it, or raises."""

    def __init__(
        self,
        worker: str,
        queues: Sequence[str],
        leases: Leases,
        *,
        slots: Mapping[str, int] | None = None,
        strict: bool = False,
    ) -> None:
        self._worker = worker
        self._queues = list(queues)
        self._leases = leases
        self._config = get_config()
        self._shares = Shares([self._share(queue, slots or {}) for queue in queues], strict=strict)
        self._engine = engine_for(self._config.database)
        self._limiter = Limiter()
        self._lease_seconds = {queue.name: queue.lease_seconds for queue in self._config.queues.values()}
        self._given_up: set[Ref] = set()
        """Attempts that the database would not settle in any words: they are left to the reapers."""
        self._not_kept = {
            (queue.name, state)
            for queue in self._config.queues.values()
            for state in FINAL_STATES
            if queue.cleanup.purges_at_once(state)
        }
        """The ends, in which queues, after which a run is purged at once."""

    def trade(self, ended: Sequence[Ended], wanted: int, ahead: int = 0) -> Trade:
        """Settle what has *ended* and claim up to *wanted* runs, and a few *ahead*, in one transaction.

        Where nothing has ended and nothing is limited, each claim commits by itself: a statement needs no transaction.
        """
        ended = [self._spared(attempt) for attempt in ended]
        for attempt in ended if self._not_kept else ():
            if (attempt.claim.queue, attempt.settlement.state) in self._not_kept:
                attempt.settlement.delete = True
        followers = followers_of((attempt.claim, attempt.settlement) for attempt in ended)
        queues = {attempt.claim.queue for attempt in ended}.union(self._queues if wanted + ahead > 0 else ())
        sent_at = monotonic()
        try:
            if ended or any(map(self._limiter.is_limited, queues)):
                states, claims, more = self._engine.insist(partial(self._turn, queues, ended, followers, wanted, ahead))
            else:
                states, (claims, more) = {}, self._claim(self._claim_alone, wanted, ahead, self._held(ended))
        except DATABASE_AWAY:
            raise
        except Exception:
            self.release_unheard()  # what claims of this trade have committed
            if not ended:
                raise
            logger.exception(NOT_TOGETHER, len(ended))
            states, claims, more = self._settle_each(ended, followers), [], True
            self._limiter.free(list(_freed((attempt.claim for attempt in ended), states)))
        leases = self._leases.add(claims, self._lease_seconds, sent_at)
        self._leases.drop(attempt.ref for attempt in ended)
        return Trade(self._with_states(ended, states), leases, more)

    def _turn(
        self, queues: Iterable[str], ended: Sequence[Ended], followers: Followers, wanted: int, ahead: int
    ) -> tuple[dict[Ref, State], list[Claim], bool]:
        """The transaction of a trade: what settles may wait for somebody, and so it comes before the lock of a queue."""
        ours = not self._engine.connection.in_atomic_block
        with transaction.atomic(using=self._config.database):
            states = self._settle(ended, followers)
            with self._limiter.turn(queues) as turn:
                turn.free(_freed((attempt.claim for attempt in ended), states))
                claim = partial(self._claim_from, turn, last=ours and len(self._queues) == 1)
                return states, *self._claim(claim, wanted, ahead, self._held(ended))

    def release(self, claims: Sequence[Claim], delay_seconds: float | None, *, unknown: bool = False) -> list[Claim]:
        """Hand back claims of which no user code ran; answer with those that were cancelled instead."""
        refs = [claim.ref for claim in claims]
        states = self._engine.release(refs, delay_seconds=delay_seconds, unknown=unknown)
        self._leases.drop(claim.ref for claim in claims)
        self._limiter.free(list(_freed(claims, states)))
        return [claim for claim in claims if states.get(claim.ref) == State.CANCELLED]

    def release_unheard(self) -> None:
        """Hand back what was claimed for us in a transaction whose reply was lost, so that nobody here knows of it."""
        runs = Run.objects.using(self._config.database).filter(
            namespace=self._config.namespace, worker=self._worker, lease_until__isnull=False
        )
        unheard = {
            ref: (queue, job, key)
            for run_id, attempt, queue, job, key in runs.values_list("pk", "attempt", "queue", "job", "concurrency_key")
            if (ref := Ref(run_id, attempt)) not in self._leases and ref not in self._given_up
        }
        if unheard:
            states = self._engine.release(list(unheard))
            self._limiter.free([Freed(*unheard[ref], state) for ref, state in states.items()])

    def abandon(self, leases: Sequence[Lease]) -> list[tuple[Ended, State]]:
        """Settle attempts that are still running, because this process is about to end."""
        why = "The worker was stopped before the job had ended."
        ended = [Ended(lease.claim, _abandoned(lease, why)) for lease in leases]
        followers = followers_of((attempt.claim, attempt.settlement) for attempt in ended)
        try:
            states = self._settle_alone(ended, followers)
        except DATABASE_AWAY:
            raise
        except Exception:
            logger.exception(NOT_TOGETHER, len(ended))
            states = self._settle_each(ended, followers)
        self._leases.drop(lease.claim.ref for lease in leases)
        self._limiter.free(list(_freed((lease.claim for lease in leases), states)))
        return self._with_states(ended, states)

    def seconds_until_due(self) -> float | None:
        """Seconds until a run can be claimed; 0 or less where one is due, but not to be had now."""
        return self._engine.next_due(self._config.namespace, self._queues)

    def _spared(self, attempt: Ended) -> Ended:
        """An attempt as it is to be settled: one that we asked to end because the database was away has not failed.

        Nor was it cancelled, whatever its job says: that is how a job obeys. What a person has cancelled stays so.
        """
        if attempt.settlement.counter != "failures" and attempt.settlement.outcome != Outcome.CANCELLED:
            return attempt
        lease = self._leases.get(attempt.ref)
        if lease is None or lease.doubted_at is None or _ended_before(attempt, lease.doubted_at):
            return attempt
        return Ended(attempt.claim, _abandoned(lease, "The lease could not be renewed, and the job was asked to end."))

    def _claim(
        self, claim: Callable[[Ask], Claimed], wanted: int, ahead: int, held: Mapping[str, int]
    ) -> tuple[list[Claim], bool]:
        """Claim from each queue its share."""
        claims: list[Claim] = []
        more = False
        deal = self._shares.deal(wanted, ahead, held, now=monotonic())
        while ask := deal.ask():
            claimed = claim(ask)
            claims += claimed.claims
            has_room = deal.answer(ask, len(claimed.claims))
            more = more or (claimed.more and has_room)
        return claims, more

    def _claim_alone(self, ask: Ask) -> Claimed:
        """Claim from a queue without limits."""
        with self._limiter.turn([]) as turn:
            return self._engine.insist(partial(self._claim_from, turn, ask))

    def _claim_from(self, turn: Turn, ask: Ask, *, last: bool = False) -> Claimed:
        """Claim what is asked for; with the *last* claim of a transaction of ours, that may end."""
        return turn.claim(
            ask.queue,
            worker=self._worker,
            limit=ask.slots,
            ahead=ask.ahead,
            lease_seconds=self._lease_seconds[ask.queue],
            last=last,
        )

    def _held(self, ended: Sequence[Ended]) -> Counter[str]:
        """How many runs of each queue are held, beside those that have *ended*; where the shares ask for it."""
        if not self._shares.counts_held:
            return Counter()
        held = Counter(lease.claim.queue for lease in self._leases.all())
        held.subtract(attempt.claim.queue for attempt in ended)
        return held

    def _share(self, name: str, slots: Mapping[str, int]) -> Share:
        queue = self._config.queues[name]
        return Share(queue=name, weight=queue.weight, slots=slots.get(name), batch_size=queue.batch_size)

    def _settle(self, ended: Sequence[Ended], followers: Followers) -> dict[Ref, State]:
        """Settle, and answer with the states also of what was settled before, by its job, or when only the reply was lost."""
        settled = {attempt.ref: attempt.state for attempt in ended if attempt.state is not None}
        settlements = [attempt.settlement for attempt in ended if attempt.state is None]
        if not settlements:
            return settled
        states = self._engine.settle(settlements)
        add_followers(followers, states)
        if len(states) < len(settlements):
            missing = [settlement for settlement in settlements if settlement.ref not in states]
            sent = [attempt.sent for attempt in ended if attempt.sent is not None and attempt.ref not in states]
            states |= receipts(self._worker, [*missing, *sent])
        return states | settled

    def _settle_each(self, ended: Sequence[Ended], followers: Followers) -> dict[Ref, State]:
        """Settle one by one, because an error keeps them from being settled together."""
        states: dict[Ref, State] = {}
        for attempt in ended:
            try:
                states |= self._settle_alone([attempt], followers)
            except DATABASE_AWAY:
                raise
            except Exception as error:
                states |= self._settle_plainly(attempt, followers, error)
        return states

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
            return self._settle_alone([attempt._replace(settlement=plainly)], followers)
        except DATABASE_AWAY:
            raise
        except Exception:
            logger.exception(
                "Attempt %d of run %d ended %s, which the database refuses to store: the run is taken for lost when its lease ends.",
                *(attempt.claim.attempt, attempt.claim.id, attempt.settlement.outcome),
            )
            self._given_up.add(attempt.ref)
            return {}

    def _settle_alone(self, ended: Sequence[Ended], followers: Followers) -> dict[Ref, State]:
        """Settle, and do nothing else, in a transaction."""
        settle = transaction.atomic(using=self._config.database)(self._settle)
        return self._engine.insist(partial(settle, ended, followers))

    def _with_states(self, ended: Sequence[Ended], states: Mapping[Ref, State]) -> list[tuple[Ended, State]]:
        """Pair each attempt with the state of its run; tell of those whose run was taken over."""
        settled: list[tuple[Ended, State]] = []
        for attempt in ended:
            if (state := states.get(attempt.ref)) is not None:
                settled.append((_as_settled(attempt, state), state))
            elif attempt.ref not in self._given_up:
                logger.warning(
                    "Lease lost, result dropped: run %d (%s.%s) was taken over during attempt %d, which ended %s.",
                    *(attempt.claim.id, attempt.claim.queue, attempt.claim.job),
                    *(attempt.claim.attempt, attempt.settlement.outcome),
                )
        return settled


def _freed(claims: Iterable[Claim], states: Mapping[Ref, State]) -> Iterator[Freed]:
    for claim in claims:
        if (state := states.get(claim.ref)) is not None:
            yield Freed(claim.queue, claim.job, claim.concurrency_key, state)


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


def _abandoned(lease: Lease, why: str) -> Settlement:
    """A run that is handed back, with what its job has said until now."""
    settlement = handed_back(lease.claim, why)
    if lease.notes is not None:
        settlement.progress, settlement.metadata = lease.notes.said
    return settlement
