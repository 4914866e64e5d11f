"""Moments and durations, as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_jobqueue import durations


def span(seconds: float) -> str:
    """A duration in one unit or two, with the decimal separator of the language."""
    return durations.span(seconds, lambda value: number_format(value, 1))


def between(start: datetime, end: datetime) -> str:
    return span((end - start).total_seconds())


def relative(moment: datetime, *, now: datetime) -> SafeString:
    """How far *moment* is from *now*; the exact time shows when one points at it."""
    seconds = round((now - moment).total_seconds())
    text = _("%s ago") % durations.roughly(seconds) if seconds >= 0 else _("in %s") % durations.roughly(-seconds)
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
