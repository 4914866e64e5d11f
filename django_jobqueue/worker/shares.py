"""Shares: which of a worker's queues gets how many of the slots that are free.

By weight, unless said otherwise: while several queues have due runs, each holds slots in proportion to its weight, and
where slots do not divide so finely, as a single one does not, its runs start in that proportion. What a queue leaves goes
to the others. In strict order a queue gets what those named before it leave.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

QUIET_SECONDS = 0.05
"""For how long a queue that left some of its share comes last: so long it need not be asked while others have work."""


@dataclass(slots=True, kw_only=True)
class Share:
    """One queue among those of a worker."""

    queue: str
    weight: int = 1
    slots: int | None = None
    """The most slots that it may hold."""
    batch_size: int = 500
    """Most runs that are claimed at once."""

    served: float = 0.0
    """How far it has come: runs claimed, by weight. Who is behind comes first."""
    quiet_until: float = 0.0

    def room(self, held: int) -> int:
        """How many runs may be claimed at once where so many are *held*."""
        return self.batch_size if self.slots is None else min(self.batch_size, max(0, self.slots - held))


class Ask(NamedTuple):
    """How many runs to claim from a queue: for free slots, and to lie ready."""

    queue: str
    slots: int
    ahead: int


class Shares:
    """All queues of a worker, in the order in which they were named."""

    def __init__(self, shares: Sequence[Share], *, strict: bool = False) -> None:
        self.strict = strict
        self._shares = list(shares)
        self.served = 0.0
        """How far the queue had come that was served last; one that had nothing to be served is not behind it."""

    @property
    def counts_held(self) -> bool:
        """Whether it matters how many runs of each queue are held."""
        return len(self._shares) > 1 or any(share.slots is not None for share in self._shares)

    def deal(self, slots: int, ahead: int, held: Mapping[str, int], *, now: float) -> Deal:
        """Deal out free *slots*, and places *ahead* of them; *held* is how many runs of each queue there are already."""
        return Deal(self, slots, ahead, held, now)

    def asking(self, held: Mapping[str, int]) -> list[Share]:
        """Those that may hold more than they do."""
        return [share for share in self._shares if share.room(held.get(share.queue, 0)) > 0]


class Deal:
    """One round: ``ask()`` says whom to ask for how many, ``answer()`` is told how many came; until nothing is asked."""

    def __init__(self, shares: Shares, slots: int, ahead: int, held: Mapping[str, int], now: float) -> None:
        self._shares = shares
        self._slots, self._ahead = slots, ahead
        self._held = held
        self._now = now
        self._rest = shares.asking(held)
        """Those that were not asked yet."""

    def ask(self) -> Ask | None:
        """Whom to ask now; None when nothing is left to deal out, or nobody to get it."""
        while self._rest and (free := self._slots + self._ahead) > 0:
            self._asked, most = self._next(free)
            self._rest.remove(self._asked)
            number = min(free, most, self._asked.room(self._held.get(self._asked.queue, 0)))
            if number > 0:
                slots = ceil(self._slots * number / free)
                return Ask(self._asked.queue, slots, number - slots)
        return None

    def answer(self, ask: Ask, number: int) -> bool:
        """Take note that *number* runs came; answer whether there is room for more of them."""
        share, left_some = self._asked, number < ask.slots + ask.ahead
        if number:
            self._shares.served = max(self._shares.served, share.served)
            share.served += number / share.weight
        if left_some:
            share.served = max(share.served, self._shares.served)
        share.quiet_until = self._now + QUIET_SECONDS if left_some else 0.0
        self._slots -= min(number, ask.slots)
        self._ahead -= max(0, number - ask.slots)
        return share.room(self._held.get(share.queue, 0) + number) > 0

    def _next(self, free: int) -> tuple[Share, int]:
        """Who comes next, and how many it may get.

        Whoever holds its share already comes last; the others by how far they have come. A share is at most rounded up.
        """
        if self._shares.strict:
            return self._rest[0], free
        rivals = [share for share in self._rest if share.quiet_until <= self._now] or self._rest
        weights = sum(share.weight for share in rivals)
        together = free + sum(self._held.get(share.queue, 0) for share in rivals)
        lacking = {share.queue: together * share.weight / weights - self._held.get(share.queue, 0) for share in rivals}
        share = min(rivals, key=lambda share: (lacking[share.queue] <= 0, share.served))
        return share, ceil(lacking[share.queue])
