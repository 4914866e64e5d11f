"""Forecasts: when a schedule will be due, and what shifts of the clocks will do to it. For people."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple

from django_jobqueue.cron import Surprise
from django_jobqueue.rhythm import ClockTimes, Rhythm

YEAR = timedelta(days=366)

MOST_TIMES = 3
"""Times that a sentence names one by one."""


class Forecast(NamedTuple):
    """A due time to come."""

    due: datetime
    """In UTC."""
    shift: str | None
    """``gap`` or ``fold``, where a shift of the clocks touches it."""


def forecast(rhythm: Rhythm, after: datetime, number: int) -> list[Forecast]:
    """The next due times after a moment, *number* of them at most."""
    due = list(islice(rhythm.due_after(after), number))
    surprises = list(_surprises(rhythm, after, due[-1])) if due else []
    return [Forecast(moment, _shift(rhythm, moment, surprises)) for moment in due]


def warnings(rhythm: Rhythm, after: datetime, until: datetime | None = None) -> list[str]:
    """What shifts of the clocks will do to it, in sentences: until a moment, or for a year."""
    return [_sentence(rhythm, surprise) for surprise in _surprises(rhythm, after, until or after + YEAR)]


def _surprises(rhythm: Rhythm, after: datetime, until: datetime) -> Iterator[Surprise]:
    if not isinstance(rhythm.times, ClockTimes):
        return iter(())
    if rhythm.starts_at is not None:
        after = max(after, rhythm.starts_at)
    if rhythm.ends_at is not None:
        until = min(until, rhythm.ends_at)
    return rhythm.times.cron.surprises(after, until, rhythm.times.zone)


def _shift(rhythm: Rhythm, due: datetime, surprises: list[Surprise]) -> str | None:
    for surprise in surprises:
        if surprise.kind == "gap" and surprise.at == due and not _follows_real_time(rhythm):
            return "gap"
        if surprise.kind == "fold" and _clock(rhythm, due) in surprise.times:
            return "fold"
    return None


def _sentence(rhythm: Rhythm, surprise: Surprise) -> str:
    times = [f"{time:%H:%M}" for time in surprise.times]
    named = ", ".join(times) if len(times) <= MOST_TIMES else f"{times[0]} to {times[-1]}"
    day = f"{surprise.times[0]:%Y-%m-%d}"
    if surprise.kind == "gap":
        instead = f"It is due at {_clock(rhythm, surprise.at):%H:%M} instead."
        return f"{day}: clocks skip {named}. {'It is not due then.' if _follows_real_time(rhythm) else instead}"
    due = "both times" if _follows_real_time(rhythm) else "the first time only"
    return f"{day}: clocks show {named} twice. It is due {due}."


def _follows_real_time(rhythm: Rhythm) -> bool:
    return isinstance(rhythm.times, ClockTimes) and rhythm.times.cron.on.follows_real_time


def _clock(rhythm: Rhythm, moment: datetime) -> datetime:
    """What the clocks of its zone show."""
    zone = rhythm.times.zone if isinstance(rhythm.times, ClockTimes) else None
    return moment.astimezone(zone).replace(tzinfo=None)
