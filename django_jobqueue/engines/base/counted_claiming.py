"""Claims from a queue that is limited as a whole and in nothing else: they count, and park nobody."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, NamedTuple

from django_jobqueue.engines.base.claiming import Claim, Claiming
from django_jobqueue.engines.base.lines import Lines

if TYPE_CHECKING:
    from django_jobqueue.engines.base.bounds import Bounds


class Room(NamedTuple):
    """What a claim wants of a queue that lets only so many runs run."""

    most: int
    """How many of its runs may be running at once."""
    wanted: int
    ahead: int = 0
    """How many more to claim, as long as half of the queue is left to others."""

    def left(self, running: int) -> int:
        """How many to claim beside those that are *running*."""
        number = max(0, min(self.wanted, self.most - running))
        return number + max(0, min(self.ahead, self.most // 2 - running - number))


class CountedClaiming(Claiming, Lines):
    """How pending runs become running where they are counted."""

    @abstractmethod
    def claim_counted(
        self,
        namespace: str,
        queue: str,
        *,
        worker: str,
        room: Room,
        lease_seconds: float,
        bounds: Bounds | None = None,
        last: bool = False,
    ) -> tuple[list[Claim], bool]:
        """Lock *queue*, as ``lock`` does, and claim as many of its due runs as it has *room* for.

        None, where an operator has paused or limited something in it, as ``claim`` does. Answers also whether there may
        be more to be had at once. *Last* says that the transaction has nothing else to do: an engine may end it with the
        claim, so that nobody waits for the lock while this process gets to hear of it.
        """
