"""Cron lines: when they are due, in any time zone, through any shift of its clocks.

A line of fixed times is due once for each of them: a time that the clocks skip is due when they go on, and one that they
show twice is due the first time. A line that follows real time, because its minute or hour is ``*`` or has a step, is due
whenever the clocks show one of its times: never where they skip it, twice where they repeat it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Literal, NamedTuple

from django_jobqueue.cron_fields import Values, values_of
from django_jobqueue.errors import InvalidSchedule, shown
from django_jobqueue.zones import Stretch, stretches

MAX_LENGTH = 200

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


class Surprise(NamedTuple):
    """A shift of the clocks that touches the times of a cron line."""

    at: datetime
    """When the clocks are shifted; UTC."""
    kind: Literal["gap", "fold"]
    """``gap``: they skip its times. ``fold``: they show them twice."""
    times: tuple[datetime, ...]
    """The times, as clocks show them; naive."""


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron line of five fields: minute, hour, day of month, month, day of week. Made by ``Cron.parse``."""

    expression: str
    on: Values

    @staticmethod
    def parse(expression: object) -> Cron:
        """Read a cron line, or a word such as ``@daily``. Raises InvalidSchedule, also where it would never be due."""
        if not isinstance(expression, str):
            raise InvalidSchedule(f"A cron line must be text such as '0 2 * * *', got {shown(expression)}.")
        if len(expression) > MAX_LENGTH:
            raise InvalidSchedule(f"{shown(expression)} is longer than {MAX_LENGTH} characters.")
        if not expression.isascii():
            raise InvalidSchedule(f"{shown(expression)} has characters that are not ASCII.")
        return _parse(" ".join(expression.lower().split()))

    def next_after(self, moment: datetime, zone: tzinfo) -> datetime:
        """When it is due next after *moment*, by the clocks of *zone*; in UTC.

        Raises OverflowError at the end of the calendar.
        """
        for due in self.due_after(moment, zone):
            return due
        raise OverflowError(f"{self.expression!r} is not due before the year {MAXYEAR}.")

    def due_after(self, moment: datetime, zone: tzinfo) -> Iterator[datetime]:
        """All times after *moment* when it is due, one after the other, in UTC."""
        latest = moment.astimezone(UTC)  # Python reckons with the clocks of a zone, not with its time
        for stretch in stretches(zone, latest):
            for due in self._due_in(stretch, latest):
                if due > latest:
                    latest = due
                    yield due

    def surprises(self, start: datetime, end: datetime, zone: tzinfo) -> Iterator[Surprise]:
        """The shifts of the clocks of *zone* after *start*, until *end*, that touch its times."""
        for stretch in stretches(zone, start):
            if stretch.start > end:
                return
            earlier, later = sorted([stretch.clock_before, stretch.clock_start])
            if stretch.start > start and not self._goes_on_evenly(later - earlier):
                times = tuple(self._times(earlier, later))
                if times:
                    yield Surprise(stretch.start, "gap" if later == stretch.clock_start else "fold", times)

    def _goes_on_evenly(self, shift: timedelta) -> bool:
        """Whether nobody who counts its times could notice that clocks were shifted by so much."""
        minutes = {(minute + shift // MINUTE) % 60 for minute in self.on.minutes}
        return len(self.on.hours) == 24 and minutes == set(self.on.minutes)

    def _due_in(self, stretch: Stretch, moment: datetime) -> Iterator[datetime]:
        """When it is due in *stretch*, about from *moment* on. A time at which two fall together may come twice."""
        first = stretch.clock_start
        if not self.on.follows_real_time:
            if any(True for _ in self._times(stretch.clock_before, first)):
                yield stretch.start
            first = max(first, stretch.clock_before)
        first = max(first, stretch.clock_at(moment))
        yield from map(stretch.moment_of, self._times(first, stretch.clock_end))

    def _times(self, first: datetime, end: datetime) -> Iterator[datetime]:
        """Its times from *first* to before *end*, on clocks that run evenly."""
        for day in self._days(first.date(), end.date()):
            earliest_hour = first.hour if day == first.date() else 0
            for hour in self.on.hours:
                if hour < earliest_hour:
                    continue
                for minute in self.on.minutes:
                    time = datetime(day.year, day.month, day.day, hour, minute)  # noqa: DTZ001  # what clocks show
                    if time >= end:
                        return
                    if time >= first:
                        yield time

    def _days(self, day: date, last: date) -> Iterator[date]:
        """Its days from *day* to *last*."""
        while day <= last:
            if day.month not in self.on.months:
                day = (day.replace(day=1) + 32 * DAY).replace(day=1)
                continue
            if self.on.includes(day):
                yield day
            day += DAY


@lru_cache(maxsize=50_000)  # more lines than one project has: a cache that is too small by one would miss every time
def _parse(line: str) -> Cron:
    return Cron(line, values_of(line))
