"""Retries: how long a run waits after a failure, and when it is given up.

Pure arithmetic: the source of chance is an argument, and nothing here reads a clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

Mode = Literal["fixed", "exponential", "custom"]

LATER_CRASH_DELAY_SECONDS = 30.0


class Chance(Protocol):
    """A source of chance: a ``random.Random``, or the module ``random`` itself."""

    def uniform(self, a: float, b: float) -> float:
        """Return a number from *a* to *b*."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """The delays between the attempts of a run that keeps failing, in seconds."""

    mode: Mode = "exponential"
    """``fixed``: always ``initial_seconds``. ``exponential``: ``initial_seconds``, then ``multiplier`` times more after
    each failure, up to ``max_seconds``. ``custom``: ``delays_seconds``, one after the other."""

    initial_seconds: float = 1.0
    """Seconds of delay after the first failure. Ignored in mode ``custom``."""

    max_seconds: float = 60.0
    """Seconds that no delay of mode ``exponential`` exceeds, jitter included. Ignored in the other modes."""

    multiplier: float = 2.0
    """How many times longer each delay of mode ``exponential`` is than the one before."""

    jitter: float = 0.2
    """Share of a delay by which chance may shorten or lengthen it: 0.2 is up to 20 % either way, 0 is none."""

    delays_seconds: tuple[float, ...] = ()
    """Seconds of delay after the first failure, the second, and so on; the last is repeated. Mode ``custom`` only."""

    def delay(self, failures: int, chance: Chance) -> float:
        """Return the seconds from the failure that is number *failures*, counted from 1, to the next attempt."""
        exact = self._exact_delay(failures)
        longest = exact * (1 + self.jitter)
        if self.mode == "exponential":
            longest = min(longest, self.max_seconds)
        return max(0.0, chance.uniform(exact * (1 - self.jitter), longest))

    def _exact_delay(self, failures: int) -> float:
        if self.mode == "custom":
            return self.delays_seconds[min(failures, len(self.delays_seconds)) - 1]
        if self.mode == "fixed" or self.initial_seconds == 0:
            return self.initial_seconds
        try:
            grown = self.initial_seconds * self.multiplier ** (failures - 1)
        except OverflowError:
            return self.max_seconds
        return min(grown, self.max_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Whether and when a run that failed is tried again."""

    max_attempts: int = 3
    """Failures after which the run is given up."""

    backoff: Backoff = field(default=Backoff())
    """The delays between attempts."""

    def next_delay(self, failures: int, chance: Chance) -> float | None:
        """Return the seconds until the next attempt after *failures* failures; None to give the run up."""
        if failures >= self.max_attempts:
            return None
        return self.backoff.delay(failures, chance)


def crash_delay(crashes: int) -> float:
    """Return the seconds until the next attempt of a run that lost its worker *crashes* times.

    The first crash is held to be the worker's misfortune; from the second on, the run may be what kills the workers.
    """
    return 0.0 if crashes <= 1 else LATER_CRASH_DELAY_SECONDS
