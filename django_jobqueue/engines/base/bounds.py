"""Bounds: where in a queue the claims of a worker have got to.

What was claimed stays in the index of pending runs until no transaction can see it there any more. While some transaction
elsewhere stays open for long, that is a growing heap of dead entries before the first run that is still to be had, and
every claim looks through it. A *bounded* claim begins where the last one did. That is for PostgreSQL: SQLite keeps nothing
dead, and MySQL looks through what it keeps.

A bound may be wrong: a run may come to stand before it, because its transaction committed late, because it was added or
put off to a time that is over, or let go from a line. Two rules keep that harmless. A bounded claim that finds less than
was asked is followed by a whole one at once, so nothing due waits while anybody would start it. And after a moment the
next claim is a whole one anyway, so nobody is overtaken for longer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from django_jobqueue.engines.base.claiming import Claim
from django_jobqueue.limits import Candidate

SLOW_SECONDS = 0.005
"""A whole claim that takes longer may be slow because of dead entries."""
WORTH = 2.0
"""How many times faster a bounded claim is, where bounds help."""
PATIENCE = 3
"""How many in a row must not be faster, until bounds are given up for a while: one may be slow because the machine is busy."""
TIMES = 20.0
"""For how many times what a whole claim takes bounded ones follow: whole ones cost little of the time then."""
LONGEST_SECONDS = 1.0
"""Until the next whole claim, whatever it takes: for so long a run that stands before a bound may be overtaken."""


class Bound(NamedTuple):
    """Where to begin in a level."""

    priority: int
    run_at: datetime
    id: int


@dataclass(slots=True)
class QueueBounds:
    """The bounds in one queue."""

    levels: dict[int, Bound] = field(default_factory=dict)
    """By priority; also of levels that have no pending run any more, for they too have left something behind."""
    whole_seconds: float = 0.0
    """What the last whole claim took."""
    slow: int = 0
    """How many of the last bounded claims, one after the other, were hardly faster than that."""
    until: float = 0.0
    """Until when claims are bounded."""
    rest_until: float = 0.0
    """Until when none is, because bounds did not help."""


class Bounds:
    """The bounds of one worker in each of its queues. Moments are those of ``time.monotonic()``."""

    def __init__(self) -> None:
        self._queues: defaultdict[tuple[str, str], QueueBounds] = defaultdict(QueueBounds)

    def of(self, namespace: str, queue: str, *, now: float) -> list[Bound]:
        """Where a claim is to begin in each level; nothing for a whole claim."""
        bounds = self._queues[namespace, queue]
        return list(bounds.levels.values()) if now < bounds.until else []

    def are_wanted(self, namespace: str, queue: str, *, seconds: float, now: float) -> bool:
        """Whether to look for the levels, after a whole claim that found enough but took so many *seconds*."""
        return seconds > SLOW_SECONDS and now >= self._queues[namespace, queue].rest_until

    def set(
        self, namespace: str, queue: str, heads: Iterable[Bound], *, seconds: float, looking: float = 0.0, now: float
    ) -> None:
        """Begin in each level at its first pending run, after a whole claim that took so many *seconds*.

        *Looking* for those runs took so many more.
        """
        bounds = self._queues[namespace, queue]
        bounds.levels |= {head.priority: head for head in heads}
        bounds.whole_seconds, bounds.slow = seconds, 0
        bounds.until = now + min(LONGEST_SECONDS, TIMES * (seconds + looking))

    def move(
        self,
        namespace: str,
        queue: str,
        found: Sequence[Claim | Candidate],
        *,
        enough: bool,
        seconds: float,
        now: float,
    ) -> None:
        """Learn from a bounded claim, or look: the next one begins at the first run *found*, if it was *enough*, and fast."""
        bounds = self._queues[namespace, queue]
        bounds.slow = bounds.slow + 1 if seconds * WORTH > bounds.whole_seconds else 0
        for run in reversed(found):
            bounds.levels[run.priority] = Bound(run.priority, run.run_at, run.id)
        if not enough:
            bounds.until = 0.0
        elif bounds.slow >= PATIENCE:
            bounds.until, bounds.rest_until = 0.0, now + LONGEST_SECONDS
