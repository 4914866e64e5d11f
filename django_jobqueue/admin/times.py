"""Moments and durations, as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

MINUTE, HOUR, DAY = 60, 3600, 86400


def span(seconds: float) -> str:
    """A duration in one unit or two: 120 ms, 1.2 s, 41 s, 4 min 10 s, 3 h 5 min, 2 d 4 h."""
    seconds = max(seconds, 0.0)
    if seconds < 0.9995:
        return f"{round(seconds * 1000)} ms"
    if seconds < 9.95:
        return f"{number_format(seconds, 1)} s"
    whole = round(seconds)
    for size, unit, part, part_unit in [(DAY, "d", HOUR, "h"), (HOUR, "h", MINUTE, "min"), (MINUTE, "min", 1, "s")]:
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit} {rest} {part_unit}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def between(start: datetime, end: datetime) -> str:
    return span((end - start).total_seconds())


def relative(moment: datetime, *, now: datetime) -> SafeString:
    """How far *moment* is from *now*; the exact time shows when one points at it."""
    seconds = round((now - moment).total_seconds())
    text = _("%s ago") % _roughly(seconds) if seconds >= 0 else _("in %s") % _roughly(-seconds)
    return format_html('<time datetime="{}" title="{}">{}</time>', moment.isoformat(), exact(moment), text)


def absolute(moment: datetime, *, now: datetime) -> SafeString:
    """The time of *moment* to the second, in the current time zone, and how far it is from *now*."""
    return format_html('{} <span class="jq-quiet">({})</span>', exact(moment), relative(moment, now=now))


def exact(moment: datetime) -> str:
    """The time to the second: in the current time zone, and in UTC where that is another one."""
    if timezone.is_naive(moment):
        return date_format(moment, "Y-m-d H:i:s")
    local = timezone.localtime(moment)
    text = f"{date_format(local, 'Y-m-d H:i:s')} {local.tzname()}"
    return f"{text} ({moment.astimezone(UTC):%H:%M:%S} UTC)" if local.utcoffset() else text


def _roughly(seconds: int) -> str:
    """A duration in its largest unit."""
    for size, unit in [(DAY, "d"), (HOUR, "h"), (MINUTE, "min")]:
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
