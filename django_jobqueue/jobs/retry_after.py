"""Retry-After: when a server wants to be asked again, as HTTP has it (RFC 9110, section 10.2.3)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_SECONDS = 86400.0
"""A server cannot put a run off for longer than a day."""

SECONDS = re.compile(r"\s*\d+(?:\.\d+)?\s*", re.ASCII)


def seconds_to_wait(asked: object) -> float | None:
    """The seconds that a server has *asked* for, by the value of the header or a number, up to a day.

    None where it makes no sense: what a server sends must not break a job.
    """
    try:
        seconds = _seconds(asked if isinstance(asked, str) else str(asked))
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), LONGEST_SECONDS)


def _seconds(text: str) -> float:
    if SECONDS.fullmatch(text):
        return float(text)
    moment = parsedate_to_datetime(text)
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
