"""One transaction in which attempts end and others are claimed, under the locks of the queues."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from django_jobqueue.engines.base import Bounds, Claim, Engine, LostRun, Ref, Room
from django_jobqueue.limiting.claim import LimitedClaim
from django_jobqueue.limiting.lines import QueueLines
from django_jobqueue.limiting.standing import Standing
from django_jobqueue.limits import Limit, QueueRules
from django_jobqueue.states import State


class Freed(NamedTuple):
    """What an attempt gives back when it has ended."""

    queue: str
    job: str
    concurrency_key: str | None
    state: State
    """Of its run now."""


def freed(runs: Iterable[Claim | LostRun], states: Mapping[Ref, State]) -> Iterator[Freed]:
    """What those of *runs* give back that have come to *states*."""
    for run in runs:
        if (state := states.get(run.ref)) is not None:
            yield Freed(run.queue, run.job, run.concurrency_key, state)


class Claimed(NamedTuple):
    """What came of a claim."""

    claims: list[Claim]
    more: bool
    """Whether there may be more to be had at once."""


class Turn:
    """Claims, and calls who waited, in the transaction that ``Limiter.turn`` has opened."""

    def __init__(
        self,
        engine: Engine,
        namespace: str,
        locked: dict[str, Standing],
        counted: Mapping[str, int],
        rules: Callable[[str], QueueRules],
        lock: Callable[[Sequence[str]], dict[str, Standing]],
        bounds: Bounds,
    ) -> None:
        self._engine = engine
        self._namespace = namespace
        self._locked = locked
        self._counted = counted
        """How many may be running in each queue that a claim locks, because nothing else is limited there."""
        self._rules = rules
        self._lock = lock
        self._bounds = bounds
        self._freed: dict[str, Counter[Limit]] = {queue: Counter() for queue in self._locked}

    def free(self, freed: Iterable[Freed]) -> None:
        """Note whose slots can be taken again."""
        for run in freed if self._locked else ():
            if run.queue in self._locked:
                for limit in self._locked[run.queue].rules.freed(run.job, run.concurrency_key, run.state):
                    self._freed[run.queue][limit] += 1

    def claim(
        self, queue: str, *, worker: str, limit: int, ahead: int = 0, lease_seconds: float, last: bool = False
    ) -> Claimed:
        """Claim up to *limit* runs of *queue*, and *ahead* more that no other worker would start meanwhile.

        From each queue at most once. With the *last* one, the transaction may end.
        """
        if queue in self._counted:
            room = Room(self._counted[queue], limit, ahead)
            if claimed := self._claim_in_room(queue, room, worker, lease_seconds, last):
                return claimed
            self._locked |= self._lock([queue])
            self._freed[queue] = Counter()
        standing = self._locked.get(queue)
        if standing is None:
            return self._claim_freely(queue, worker, limit + ahead, lease_seconds)
        if standing.rules.queue.paused:
            return Claimed([], more=False)
        if not standing.rules.park:
            return self._claim_counted(queue, standing, worker, limit, ahead, lease_seconds)
        claim = LimitedClaim(
            self._engine,
            self._namespace,
            queue,
            standing,
            worker=worker,
            lease_seconds=lease_seconds,
            bounds=self._bounds,
        )
        ahead = 0 if standing.rules.rated else ahead  # who takes a token starts at once
        return Claimed(*claim.take(limit, ahead, self._freed.pop(queue)))

    def call_the_rest(self) -> None:
        """Let those go who waited for what was freed, and whom no claim of ours has taken."""
        for queue, limits in self._freed.items():
            if limits:
                QueueLines(self._engine, self._namespace, queue, self._locked[queue].rules).call(limits)

    def _claim_freely(self, queue: str, worker: str, limit: int, lease_seconds: float) -> Claimed:
        """Claim without a lock. Nothing comes of it where operators limit the queue: then the next turn is to lock it."""
        claims = self._engine.claim(
            self._namespace, queue, worker=worker, limit=limit, lease_seconds=lease_seconds, bounds=self._bounds
        )
        if claims:
            return Claimed(claims, more=len(claims) >= limit)
        rules = self._rules(queue)
        return Claimed([], more=rules.limited and not rules.queue.paused)

    def _claim_in_room(self, queue: str, room: Room, worker: str, lease_seconds: float, last: bool) -> Claimed | None:
        """Lock the queue and claim at once; None, if operators have limited it, so that nothing comes of it."""
        claims, more = self._engine.claim_counted(
            self._namespace,
            queue,
            worker=worker,
            room=room,
            lease_seconds=lease_seconds,
            bounds=self._bounds,
            last=last,
        )
        if claims or more:
            return Claimed(claims, more)
        rules = self._rules(queue)
        return None if rules.park or rules.queue.operated else Claimed([], more=False)

    def _claim_counted(
        self, queue: str, standing: Standing, worker: str, limit: int, ahead: int, lease_seconds: float
    ) -> Claimed:
        """Claim as many as the queue as a whole lets run, which parks nobody."""
        number = limit + ahead
        if (most := standing.rules.queue.concurrent_jobs) is not None:
            number = Room(most, limit, ahead).left(sum(count for _, _, count in standing.running))
        claims = self._engine.claim(
            self._namespace,
            queue,
            worker=worker,
            limit=number,
            lease_seconds=lease_seconds,
            ruled=True,
            bounds=self._bounds,
        )
        return Claimed(claims, more=len(claims) >= limit + ahead)
