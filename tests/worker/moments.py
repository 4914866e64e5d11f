"""Moments: when something has happened, and what was to follow so much later, on a machine that may be slow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.utils import timezone

CLOCKS_DIFFER = timedelta(seconds=1)


class Moment:
    """From the beginning to the end of a block, however long that takes, by the clock of any database."""

    def __init__(self, begun: datetime, ended: datetime) -> None:
        self._begun, self._ended = begun, ended

    def __contains__(self, when: datetime | None) -> bool:
        return when is not None and self._begun - CLOCKS_DIFFER <= when <= self._ended + CLOCKS_DIFFER

    def and_seconds(self, seconds: float) -> Moment:
        """The same, so much later."""
        later = timedelta(seconds=seconds)
        return Moment(self._begun + later, self._ended + later)


@contextmanager
def took() -> Iterator[Moment]:
    """What happens in the block happens in this moment."""
    now = timezone.now()
    moment = Moment(now, now)
    yield moment
    moment._ended = timezone.now()
