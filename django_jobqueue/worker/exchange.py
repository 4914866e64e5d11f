"""What a worker trades with the database: how its attempts ended, for new claims."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import NamedTuple

from django.db import transaction

from django_jobqueue.conf import get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import Claim, Ref
from django_jobqueue.limiting.limiter import Limiter
from django_jobqueue.limiting.turn import Claimed, Freed, Turn, freed
from django_jobqueue.limits import QueueRules
from django_jobqueue.models import Run
from django_jobqueue.states import State
from django_jobqueue.worker.leases import Lease, Leases
from django_jobqueue.worker.locked_runs import LockedRuns
from django_jobqueue.worker.runner import Ended
from django_jobqueue.worker.settler import Endings, Settler, abandoned
from django_jobqueue.worker.shares import Ask, Share, Shares

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trade:
    """What came of one transaction."""

    settled: list[tuple[Ended, State]]
    leases: list[Lease]
    """Of what was claimed."""
    more: bool
    """Whether a queue had as many due runs as were asked of it, and so may have more."""
    left: list[Ended]
    """What is still to be settled: somebody has locked the runs."""

    @property
    def claims(self) -> list[Claim]:
        return [lease.claim for lease in self.leases]


class Released(NamedTuple):
    """What became of claims that were to be handed back, where it is not that."""

    cancelled: list[Claim]
    left: list[Claim]
    """Still ours: somebody has locked the runs."""


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
        self._settler = Settler(worker, leases)
        self._lease_seconds = {queue.name: queue.lease_seconds for queue in self._config.queues.values()}
        self._locked = LockedRuns(leases)

    def known_rules(self, queue: str) -> QueueRules:
        """What held in *queue* when we last claimed from it, if it is limited. Callable from any thread."""
        return self._limiter.known_rules(queue)

    def trade(self, ended: Sequence[Ended], wanted: int, ahead: int = 0) -> Trade:
        """Settle what has *ended* and claim up to *wanted* runs, and a few *ahead*, in one transaction.

        Where nothing has ended and nothing is limited, each claim commits by itself: a statement needs no transaction.
        """
        endings = self._settler.endings(ended)
        queues = {attempt.claim.queue for attempt in ended}.union(self._queues if wanted + ahead > 0 else ())
        sent_at = monotonic()
        try:
            if ended or any(map(self._limiter.is_limited, queues)):
                turn = partial(self._turn, queues, endings, wanted, ahead)
                with self._locked.expected_after_a_wait(endings.refs):
                    endings, states, claims, more = self._engine.insist(turn)
            else:
                states, (claims, more) = {}, self._claim(self._claim_alone, wanted, ahead, self._held(ended))
        except Exception as error:
            if self._engine.is_passing(error):
                raise
            self.release_unheard()  # what claims of this trade have committed
            if not ended:
                raise
            logger.exception("%d attempts could not be settled together, and are settled one by one.", len(ended))
            states, claims, more = self._settler.settle_each(endings), [], True
            self._limiter.free(list(freed(endings.claims, states)))
        leases = self._leases.add(claims, self._lease_seconds, sent_at)
        self._leases.drop(endings.refs)
        left = [attempt for attempt in ended if attempt.ref in self._leases]
        return Trade(self._settler.settled(endings, states), leases, more, left)

    def _turn(
        self, queues: Iterable[str], endings: Endings, wanted: int, ahead: int
    ) -> tuple[Endings, dict[Ref, State], list[Claim], bool]:
        """The transaction of a trade: what settles may wait for somebody, and so it comes before the lock of a queue.

        Answers, first, with the endings that were to be had.
        """
        ours = not self._engine.connection.in_atomic_block
        with transaction.atomic(using=self._config.database):
            endings = endings.without(self._locked.among(endings.refs))
            states = self._settler.settle(endings)
            with self._limiter.turn(queues) as turn:
                turn.free(freed(endings.claims, states))
                claim = partial(self._claim_from, turn, last=ours and len(self._queues) == 1)
                return endings, states, *self._claim(claim, wanted, ahead, self._held(endings.attempts))

    def expect_locks(self) -> None:
        """Wait for no run that somebody has locked, but leave it to the next time: there may be no time to wait."""
        self._locked.expect_any()

    def abandon(self, leases: Sequence[Lease]) -> list[tuple[Ended, State]]:
        """Settle attempts that are still running, because this process is about to end."""
        why = "The worker was stopped before the job had ended."
        return self.trade([abandoned(lease, why) for lease in leases], 0).settled

    def release(
        self, claims: Sequence[Claim], delay_seconds: float | None = None, *, unknown: bool = False
    ) -> Released:
        """Hand back claims of which no user code ran."""
        release = partial(self._engine.release, delay_seconds=delay_seconds, unknown=unknown)
        states, locked = self._of_unlocked(release, [claim.ref for claim in claims])
        self._leases.drop(claim.ref for claim in claims if claim.ref not in locked)
        self._limiter.free(list(freed(claims, states)))
        return Released(
            cancelled=[claim for claim in claims if states.get(claim.ref) == State.CANCELLED],
            left=[claim for claim in claims if claim.ref in locked],
        )

    def release_unheard(self) -> None:
        """Hand back what was claimed for us in a transaction whose reply was lost, so that nobody here knows of it."""
        runs = Run.objects.using(self._config.database).filter(
            namespace=self._config.namespace, worker=self._worker, lease_until__isnull=False
        )
        unheard = {
            ref: (queue, job, key)
            for run_id, attempt, queue, job, key in runs.values_list("pk", "attempt", "queue", "job", "concurrency_key")
            if (ref := Ref(run_id, attempt)) not in self._leases and ref not in self._settler.given_up
        }
        if unheard:
            states, _ = self._of_unlocked(self._engine.release, list(unheard))
            self._limiter.free([Freed(*unheard[ref], state) for ref, state in states.items()])

    def _of_unlocked(
        self, release: Callable[[Sequence[Ref]], dict[Ref, State]], refs: Sequence[Ref]
    ) -> tuple[dict[Ref, State], set[Ref]]:
        """*Release* those that nobody else has locked; answer with their states, and those that somebody has."""
        together = transaction.atomic(using=self._config.database) if self._locked.are_expected else nullcontext()
        with self._locked.expected_after_a_wait(refs), together:
            locked = self._locked.among(refs)
            return release([ref for ref in refs if ref not in locked]), locked

    def seconds_until_due(self, looked_at: float) -> float | None:
        """Seconds until a run can be claimed, after a look at *looked_at* that found none.

        What was due then is not to be had, as in a queue that is paused: it says nothing of what comes in the others.
        """
        wait = self._next_due(self._queues)
        if wait is None or wait > looked_at - monotonic():
            return wait
        waits = [self._next_due([queue]) for queue in self._queues] if len(self._queues) > 1 else []
        return min((wait for wait in waits if wait is not None and wait > looked_at - monotonic()), default=None)

    def _next_due(self, queues: Sequence[str]) -> float | None:
        return self._engine.next_due(self._config.namespace, queues)

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
