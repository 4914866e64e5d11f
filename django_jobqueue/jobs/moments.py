"""When a run shall start, as callers and jobs say it."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from django_jobqueue.errors import InvalidRun, shown

HORIZON = timedelta(days=3653)
"""How far from now a run may be asked for, either way; what lies beyond is a mistake."""


def moment(value: object, argument: str) -> datetime | None:
    """The moment that *value* means: a datetime, ISO-8601 text, or None and "now" for now, which is None.

    Raises InvalidRun, which begins with the name of the *argument*.
    """
    if value is None or value == "now":
        return None
    when = _parsed(value, argument)
    if timezone.is_naive(when) and settings.USE_TZ:
        raise InvalidRun(f"{argument}: {shown(value)} has no time zone. Use timezone.now(), or make_aware().")
    try:
        if timezone.is_aware(when) and not settings.USE_TZ:
            when = timezone.make_naive(when)
        near = abs(when - timezone.now()) <= HORIZON
    except OverflowError:  # at the edges of the calendar
        near = False
    if not near:
        raise InvalidRun(f"{argument}: {shown(value)} is more than ten years from now.")
    return when


def delay(value: object, argument: str) -> float:
    """The seconds that *value* means; none for None. Raises InvalidRun, which begins with the name of the *argument*."""
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise InvalidRun(f"{argument}: must be a number of seconds, got {shown(value)}.")
    if not 0 <= value <= HORIZON.total_seconds():
        raise InvalidRun(f"{argument}: must be from 0 to ten years, got {shown(value)}.")
    return float(value)


def is_time(value: object) -> bool:
    """Whether *value* can only mean a time or a delay."""
    return isinstance(value, int | float | Decimal | datetime | timedelta)


def _parsed(value: object, argument: str) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, timedelta):
        raise InvalidRun(f"{argument}: must be a moment, not a timedelta. Use delay_seconds.")
    when = None
    if isinstance(value, str):
        try:
            when = parse_datetime(value)
        except ValueError:
            when = None
    if when is None:
        raise InvalidRun(
            f'{argument}: must be a datetime, ISO-8601 text with date and time, or "now", got {shown(value)}.'
        )
    return when
