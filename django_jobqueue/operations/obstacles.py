"""Obstacles: the rules that can hold a run back, each a value that programs can tell apart and people can read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """One rule that keeps a run from starting. Its text is a sentence for people."""

    code: ClassVar[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class NotPending(Obstacle):
    """Only a pending run can start."""

    code = "not_pending"
    state: str

    def __str__(self) -> str:
        return f"It is {self.state}, and only a pending run can start."


@dataclass(frozen=True, slots=True, kw_only=True)
class NotDue(Obstacle):
    """Its time has not come."""

    code = "not_due"
    until: datetime

    def __str__(self) -> str:
        return f"It is not due before {_shown(self.until)}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired(Obstacle):
    """It was to start before a moment that is over."""

    code = "expired"
    since: datetime

    def __str__(self) -> str:
        return f"It expired at {_shown(self.since)}, and will be cancelled."


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePaused(Obstacle):
    """An operator lets nobody claim from its queue."""

    code = "queue_paused"
    queue: str
    since: datetime
    until: datetime | None = None
    actor: str | None = None
    reason: str = ""

    def __str__(self) -> str:
        return f"Queue {self.queue!r} {_paused(self.since, self.until, self.actor, self.reason)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked(Obstacle):
    """It was put out of the way, until what it waits for is free."""

    code = "parked"
    on: str

    def __str__(self) -> str:
        return f"It is parked until {self.on!r} is free."


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotsTaken(Obstacle):
    """As many runs are running as a limit allows."""

    code = "slots_taken"
    limit: str
    """What is limited, in words."""
    most: int
    held_by: tuple[int, ...]
    """The ids of runs that are running, the first to have started first; at most ``SHOWN_HOLDERS``."""

    def __str__(self) -> str:
        holders = ", ".join(f"#{run_id}" for run_id in self.held_by)
        return f"{self.limit} allows {self.most} at once, and these are running: {holders}."


@dataclass(frozen=True, slots=True, kw_only=True)
class JobUnusable(Obstacle):
    """This release does not know its job, or that version of it, or the job cannot work. Its workers put such a run
    back: where they do not know the job, for an hour."""

    code = "job_unusable"
    queue: str
    job: str
    why: str

    def __str__(self) -> str:
        return f"This release cannot work it: {self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoWorker(Obstacle):
    """Nobody works its queue."""

    code = "no_worker"
    queue: str

    def __str__(self) -> str:
        return f"No live worker works queue {self.queue!r}. Start one: manage.py runjobs {self.queue}"


SHOWN_HOLDERS = 20


def _shown(moment: datetime) -> str:
    return moment.isoformat(sep=" ", timespec="seconds")


def _paused(since: datetime, until: datetime | None, actor: str | None, reason: str) -> str:
    by = f" by {actor}" if actor else ""
    end = f" until {_shown(until)}" if until else ""
    return f"is paused{end}, since {_shown(since)}{by}{f': {reason}' if reason else '.'}"
