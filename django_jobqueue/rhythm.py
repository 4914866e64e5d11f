"""Rhythms: when a schedule is due, and what becomes of due times that nobody was there for.

Pure arithmetic: *now* is an argument, and nothing here reads a clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import chain, count, takewhile
from typing import NamedTuple

from django_jobqueue.cron import Cron
from django_jobqueue.states import Misfire

ON_TIME = timedelta(seconds=60)
"""How late a due time may be found; later, it is missed."""

INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class ClockTimes:
    """The times of a cron line, by the clocks of a zone."""

    cron: Cron
    zone: tzinfo

    def due_after(self, moment: datetime) -> Iterator[datetime]:
        return self.cron.due_after(moment, self.zone)


@dataclass(frozen=True, slots=True)
class Interval:
    """Times that are evenly apart, whatever clocks show."""

    every: timedelta
    counted_from: datetime
    """One interval before the first."""

    def due_after(self, moment: datetime) -> Iterator[datetime]:
        counted_from = self.counted_from.astimezone(UTC)  # Python reckons with the clocks of a zone, not with its time
        first = max(1, (moment.astimezone(UTC) - counted_from) // self.every + 1)
        return (counted_from + number * self.every for number in count(first))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """When a schedule is due: at certain times, from a start and to an end, where there are these."""

    times: ClockTimes | Interval
    starts_at: datetime | None = None
    ends_at: datetime | None = None

    def next_after(self, moment: datetime) -> datetime | None:
        """The first due time after *moment*; None after the last."""
        return next(self.due_after(moment), None)

    def due_after(self, moment: datetime) -> Iterator[datetime]:
        """The due times after *moment*, in order."""
        if self.starts_at is not None:
            moment = max(moment, self.starts_at - INSTANT)
        due, ends_at = self.times.due_after(moment), self.ends_at
        return due if ends_at is None else takewhile(lambda time: time <= ends_at, due)

    def passed(self, due: datetime, end: datetime, most: int) -> tuple[int, list[datetime]]:
        """How many due times there are from *due*, which is one, to before *end*; and the last *most* of them."""
        if due >= end:
            return 0, []
        if isinstance(self.times, Interval):  # a second, and a year: too many to look at
            every = self.times.every
            end = end if self.ends_at is None else min(end, self.ends_at + INSTANT)
            number = (end - due - INSTANT) // every + 1
            return number, [due + index * every for index in range(max(0, number - most), number)]
        number, last = 0, deque[datetime](maxlen=most)
        for time in takewhile(lambda time: time < end, chain([due], self.due_after(due))):
            number += 1
            last.append(time)
        return number, list(last)


class Span(NamedTuple):
    """Due times that follow each other."""

    first_at: datetime
    last_at: datetime
    number: int = 1


class Decision(NamedTuple):
    """What becomes of the due times up to now."""

    firings: list[Span]
    """Each is to make one run, for the last time of the span; oldest first."""
    skipped: Span | None
    """These, earlier ones, are to make none."""
    next_run_at: datetime | None


def decide(rhythm: Rhythm, due: datetime, now: datetime, *, misfire: Misfire, max_catch_up: int) -> Decision:
    """Decide about the due times from *due* to *now*: those found on time fire, the others go by the *misfire* rule."""
    number, late = rhythm.passed(due, now - ON_TIME, max_catch_up + 1)
    on_time, next_run_at = _on_time(rhythm, due, late, now)
    firings, skipped = [Span(time, time) for time in on_time], None
    if number and misfire == Misfire.FIRE_ONCE:
        firings = [Span(due, [*late, *on_time][-1], number + len(on_time))]
    elif number and misfire == Misfire.SKIP:
        skipped = Span(due, late[-1], number)
    elif number:
        firings[:0] = [Span(time, time) for time in late[-max_catch_up:]]
        if number > max_catch_up:
            skipped = Span(due, late[0], number - max_catch_up)
    return Decision(firings, skipped, next_run_at)


def _on_time(
    rhythm: Rhythm, due: datetime, late: list[datetime], now: datetime
) -> tuple[list[datetime], datetime | None]:
    """The due times after the late ones, to *now*; and the next one."""
    found: list[datetime] = []
    for time in rhythm.due_after(late[-1]) if late else chain([due], rhythm.due_after(due)):
        if time > now:
            return found, time
        found.append(time)
    return found, None
