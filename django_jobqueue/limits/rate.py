"""Rates: how often something may start, as tokens in a bucket."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import floor
from typing import Self

RATE = re.compile(r"(?P<count>[1-9]\d{0,8})/(?P<units>[1-9]\d{0,3})?(?P<unit>[smhd])", re.ASCII)
UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

GRAIN = 1e-6
"""Of a token, lost where times are rounded to microseconds."""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many starts in so many seconds, evenly spread; after a quiet time, *burst* of them at once."""

    count: int
    seconds: int
    burst: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """The rate of a text such as ``100/m``: so many in a s(econd), m(inute), h(our) or d(ay), or in ``5m``.

        Raises ValueError.
        """
        match = RATE.fullmatch(text)
        if match is None:
            raise ValueError(text)
        return cls(int(match["count"]), int(match["units"] or 1) * UNIT_SECONDS[match["unit"]])

    def __str__(self) -> str:
        unit = next(unit for unit in reversed(UNIT_SECONDS) if self.seconds % UNIT_SECONDS[unit] == 0)
        units = self.seconds / UNIT_SECONDS[unit]
        return f"{self.count}/{unit if units == 1 else f'{units:.0f}{unit}'}"

    @property
    def interval(self) -> timedelta:
        """The time that a token takes to come."""
        return timedelta(seconds=self.seconds / self.count)


FAR = datetime(9000, 1, 1)  # noqa: DTZ001  # it is given the zone of the moment that it is compared with
"""No token is told to come later: the calendar has an end, and a slow rate may have a long line."""

MANY = 10**9
"""Of those who wait, where nobody has counted them."""


@dataclass(slots=True)
class Bucket:
    """The tokens of one rate limit as of a moment, and the line of those who wait for one."""

    rate: Rate
    tokens: float
    updated_at: datetime
    waiting: int = 0
    """How many wait in the line; whoever comes goes to its end."""
    promised_at: datetime | None = None
    """When the last of them is to get its token."""
    changed: bool = False
    """Whether it is to be written."""

    @classmethod
    def full(cls, rate: Rate, now: datetime, *, waiting: int = 0) -> Self:
        return cls(rate, float(rate.burst), now, waiting)

    def refill(self, now: datetime) -> None:
        """Add the tokens that have come until *now*; none where the clock was set back, but others come from then on."""
        come = max(0.0, (now - self.updated_at) / self.rate.interval)
        self.tokens = min(float(self.rate.burst), self.tokens + come)
        self.updated_at = now

    @property
    def whole_tokens(self) -> int:
        return max(0, int(self.tokens + GRAIN))

    @property
    def grows_at(self) -> datetime | None:
        """When there is one more token; None, if it is full."""
        if self.tokens >= self.rate.burst:
            return None
        return self.updated_at + (floor(self.tokens + GRAIN) + 1 - self.tokens) * self.rate.interval

    @property
    def next_at(self) -> datetime:
        """When there is a token."""
        return self.next_behind(0)

    def next_behind(self, others: int) -> datetime:
        """When there is a token for whoever waits behind so many *others*."""
        return self._after(self.updated_at, max(0.0, others + 1 - self.tokens))

    @property
    def full_at(self) -> datetime:
        """When it is as good as new."""
        return self._after(self.updated_at, self.rate.burst - self.tokens)

    def take(self) -> None:
        """Take a token."""
        self.tokens -= 1
        self.changed = True

    def queue_up(self) -> datetime:
        """Let one more wait; answer when its token is to come."""
        at = self.next_at
        if self.waiting and self.promised_at is not None:
            at = max(at, self._after(self.promised_at, 1))
        self.waiting, self.promised_at, self.changed = self.waiting + 1, at, True
        return at

    def count(self, waiting: int) -> None:
        """So many wait, and not more. Of that, only whether anybody does is kept."""
        self.waiting, self.changed = waiting, self.changed or not waiting

    def leave(self) -> None:
        """One of those who waited does not any more."""
        self.waiting, self.changed = self.waiting - 1, True

    def _after(self, moment: datetime, tokens: float) -> datetime:
        """When so many *tokens* have come since a *moment*."""
        far = FAR.replace(tzinfo=moment.tzinfo)
        try:
            return min(moment + tokens * self.rate.interval, far)
        except OverflowError:
            return far
