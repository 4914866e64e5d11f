"""Time zones: found by their names, and as stretches of time between two shifts of their clocks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import MAXYEAR, UTC, datetime, timedelta, tzinfo
from difflib import get_close_matches
from functools import cache, lru_cache
from itertools import count, pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from django_jobqueue.errors import InvalidSchedule, shown

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


class Stretch(NamedTuple):
    """A time in which the clocks of a zone run evenly, in one calendar year of UTC at most."""

    start: datetime
    end: datetime
    """Not part of it; UTC, as the start."""
    offset: timedelta
    """What its clocks show more than UTC."""
    offset_before: timedelta
    """What they showed more than UTC just before the start."""

    @property
    def clock_before(self) -> datetime:
        """What the clocks would show at the start, had they not been shifted. Naive, as all that clocks show."""
        return (self.start + self.offset_before).replace(tzinfo=None)

    @property
    def clock_start(self) -> datetime:
        """What the clocks show at the start: later than ``clock_before`` after a gap, earlier after a fold."""
        return self.clock_at(self.start)

    @property
    def clock_end(self) -> datetime:
        return self.clock_at(self.end)

    def clock_at(self, moment: datetime) -> datetime:
        """What the clocks show at a *moment* of this stretch."""
        return (moment + self.offset).replace(tzinfo=None)

    def moment_of(self, clock: datetime) -> datetime:
        """When the clocks show *clock*, in this stretch."""
        return (clock - self.offset).replace(tzinfo=UTC)


def zone_named(name: object) -> ZoneInfo:
    """The time zone of this name. Raises InvalidSchedule, with the nearest name."""
    if isinstance(name, str) and name in _names():
        return ZoneInfo(name)
    near = get_close_matches(name, _names(), n=1) if isinstance(name, str) and len(name) <= 64 else []
    hint = f"Did you mean {near[0]!r}?" if near else "Use a name such as 'Europe/Berlin' or 'UTC'."
    raise InvalidSchedule(f"{shown(name)} is not a time zone. {hint}")


def stretches(zone: tzinfo, moment: datetime) -> Iterator[Stretch]:
    """The stretches of *zone* one after the other, from the one that holds *moment*, to the end of the calendar."""
    for year in count(moment.astimezone(UTC).year):
        if year >= MAXYEAR:
            return
        yield from (stretch for stretch in _stretches(zone, year) if stretch.end > moment)


@cache
def _names() -> frozenset[str]:
    return frozenset(available_timezones()) - {"localtime"}  # another zone on every machine


@lru_cache(maxsize=1000)
def _stretches(zone: tzinfo, year: int) -> tuple[Stretch, ...]:
    """The stretches of a year."""
    start, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    bounds = [start, *_shifts(zone, start, end), end]
    return tuple(
        Stretch(first, last, _offset(zone, first), _offset(zone, first - SECOND)) for first, last in pairwise(bounds)
    )


def _shifts(zone: tzinfo, start: datetime, end: datetime) -> Iterator[datetime]:
    """The moments between *start* and *end* at which the offset of *zone* changes. None is undone within a day."""
    last = end - SECOND
    while start < last:
        low, high = start, min(start + DAY, last)
        start_offset = _offset(zone, start)
        start = high
        if _offset(zone, high) == start_offset:
            continue
        while high - low > SECOND:
            middle = low + (high - low) // SECOND // 2 * SECOND
            low, high = (middle, high) if _offset(zone, middle) == start_offset else (low, middle)
        yield high
        start = high


def _offset(zone: tzinfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()
