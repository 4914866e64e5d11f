"""What an attempt may come to: what a job may raise, and what it may say by its ``run`` instead."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django_jobqueue.errors import shown
from django_jobqueue.jobs import moments
from django_jobqueue.jobs.retry_after import seconds_to_wait


class JobSignal(Exception):
    """Base of the exceptions by which a job steers its run. None of them is a malfunction."""


class Later(JobSignal):
    """The run is to be tried again later: in *delay_seconds*, or *at* a moment. Raises ValueError if that is no time."""

    delay_seconds: float | None = None
    at: datetime | None = None

    def __init__(
        self, message: str = "", *, delay_seconds: float | None = None, at: datetime | str | None = None
    ) -> None:
        if delay_seconds is not None and at is not None:
            raise ValueError(f"{type(self).__name__}: give delay_seconds or at, not both.")
        if moments.is_time(message):  # without one, a Snooze goes on at once, again and again
            raise ValueError(f"{type(self).__name__}: {shown(message)} is no message. Name it: delay_seconds= or at=.")
        super().__init__(message)
        if delay_seconds is not None:
            self.delay_seconds = moments.delay(delay_seconds, "delay_seconds")
        self.at = moments.moment(at, "at")


class Retry(Later):
    """This attempt failed; try again at a time of the job's choosing, or else by the backoff.

    *retry_after* is what a server asked for: the value of its Retry-After header, seconds or a date. It postpones the run by
    a day at most. If it makes no sense, the backoff applies.

    Counts as a failure, so it ends in the dead letter when the attempts are used up.
    """

    def __init__(
        self,
        message: str = "",
        *,
        delay_seconds: float | None = None,
        at: datetime | str | None = None,
        retry_after: str | float | None = None,
    ) -> None:
        if retry_after is not None:
            if delay_seconds is not None or at is not None:
                raise ValueError("Retry: give delay_seconds, at or retry_after, and only one of them.")
            delay_seconds = seconds_to_wait(retry_after)
        super().__init__(message, delay_seconds=delay_seconds, at=at)


class Snooze(Later):
    """Not now: put the run back, at once if no time is given. Costs no failure."""


class Fail(JobSignal):
    """Trying again is useless: end the run as failed."""


class Cancel(JobSignal):
    """There is nothing left to do: end the run as cancelled."""


@dataclass(frozen=True, slots=True)
class Completed:
    """The run is complete, with this result."""

    result: object


@dataclass(frozen=True, slots=True)
class Failed:
    """The run has failed, for this reason."""

    error: str | BaseException


@dataclass(frozen=True, slots=True)
class Deleted:
    """The run is complete, and nothing of it is to be kept."""


Decision = Completed | Failed | Deleted | Snooze
"""What a job may decide about its run without raising."""
