"""What a job may raise to say what shall become of its run."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.utils import timezone

MAX_DELAY_SECONDS = 10 * 366 * 86400.0


class JobSignal(Exception):
    """Base of the exceptions by which a job steers its run. None of them is a malfunction."""


class Later(JobSignal):
    """The run shall go on later: in *delay_seconds*, or *at* a moment."""

    def __init__(self, message: str = "", *, delay_seconds: float | None = None, at: datetime | None = None) -> None:
        name = type(self).__name__
        if delay_seconds is not None and at is not None:
            raise ValueError(f"{name}: give delay_seconds or at, not both.")
        if delay_seconds is not None and not 0 <= delay_seconds <= MAX_DELAY_SECONDS:
            raise ValueError(f"{name}: delay_seconds must be from 0 to ten years, got {delay_seconds!r}.")
        if at is not None and timezone.is_naive(at) and settings.USE_TZ:
            raise ValueError(f"{name}: at must have a time zone, got {at!r}.")
        super().__init__(message)
        self.delay_seconds = delay_seconds
        self.at = at


class Retry(Later):
    """This attempt failed; try again at a time of the job's choosing, or else by the backoff.

    Counts as a failure, so it ends in the dead letter when the attempts are used up.
    """


class Snooze(Later):
    """Not now: put the run back, at once if no time is given. Costs no failure."""


class Fail(JobSignal):
    """Trying again is useless: end the run as failed."""


class Cancel(JobSignal):
    """There is nothing left to do: end the run as cancelled."""
