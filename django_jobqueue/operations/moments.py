"""When a run shall start, as callers say it."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from django_jobqueue.errors import InvalidRun, shown

HORIZON = timedelta(days=3653)
"""How far from now a run may be asked for, either way; what lies beyond is a mistake."""


def run_at(next_run_at: object) -> datetime | None:
    """The moment that *next_run_at* means, or None for now. Raises InvalidRun."""
    if next_run_at is None or next_run_at == "now":
        return None
    moment = _parsed(next_run_at)
    if timezone.is_naive(moment) and settings.USE_TZ:
        raise InvalidRun(f"next_run_at: {shown(next_run_at)} has no time zone. Use timezone.now(), or make_aware().")
    if timezone.is_aware(moment) and not settings.USE_TZ:
        moment = timezone.make_naive(moment)
    if abs(moment - timezone.now()) > HORIZON:
        raise InvalidRun(f"next_run_at: {shown(next_run_at)} is more than ten years from now.")
    return moment


def delay(delay_seconds: object) -> float:
    """The seconds that *delay_seconds* means. Raises InvalidRun."""
    if delay_seconds is None:
        return 0.0
    if isinstance(delay_seconds, bool) or not isinstance(delay_seconds, int | float) or math.isnan(delay_seconds):
        raise InvalidRun(f"delay_seconds: must be a number of seconds, got {shown(delay_seconds)}.")
    if not 0 <= delay_seconds <= HORIZON.total_seconds():
        raise InvalidRun(f"delay_seconds: must be from 0 to ten years, got {shown(delay_seconds)}.")
    return float(delay_seconds)


def _parsed(next_run_at: object) -> datetime:
    if isinstance(next_run_at, datetime):
        return next_run_at
    if isinstance(next_run_at, timedelta):
        raise InvalidRun("next_run_at: must be a moment, not a timedelta. Use delay_seconds.")
    moment = None
    if isinstance(next_run_at, str):
        try:
            moment = parse_datetime(next_run_at)
        except ValueError:
            moment = None
    if moment is None:
        raise InvalidRun(
            f'next_run_at: must be a datetime, ISO-8601 text with date and time, or "now", got {shown(next_run_at)}.'
        )
    return moment
