"""Moments, as people read them on a terminal."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from django_jobqueue.durations import roughly


def local(moment: datetime) -> str:
    """To the second, in the project's time zone."""
    if timezone.is_naive(moment):
        return f"{moment:%Y-%m-%d %H:%M:%S}"
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M:%S %Z}"


def relative(moment: datetime, *, now: datetime) -> str:
    """How far it is from *now*."""
    seconds = (now - moment).total_seconds()
    return f"{roughly(seconds)} ago" if seconds >= 0 else f"in {roughly(-seconds)}"
