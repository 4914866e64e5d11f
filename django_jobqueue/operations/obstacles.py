"""Obstacles: what holds a run back, as a value that programs can tell apart and people can read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.utils import timezone


class Rule(StrEnum):
    """The rules that can hold a run back."""

    NOT_PENDING = "not_pending"
    """Only a pending run can start."""
    CANCEL_REQUESTED = "cancel_requested"
    """It is running, and will not be tried again."""
    EXPIRED = "expired"
    """It was to start before a moment that is over."""
    NOT_DUE = "not_due"
    """Its time has not come."""
    QUEUE_PAUSED = "queue_paused"
    JOB_PAUSED = "job_paused"
    SLOTS_TAKEN = "slots_taken"
    """As many runs of its queue, its job or its key are running as may be."""
    KEPT_ORDER = "kept_order"
    """An earlier run of its key has not ended."""
    RATE = "rate"
    """As many have started in this time as may, or others wait to."""
    PARKED = "parked"
    """It is out of sight of the workers for what would let it go. Soon, the sweep finds it."""
    EXTERNAL = "external"
    """Another deployment works its queue."""
    JOB_UNUSABLE = "job_unusable"
    """This release does not know its job, or that version of it, or the job cannot work. A worker that claims such a run
    puts it back: where it does not know the job, for an hour."""
    NO_WORKER = "no_worker"
    """Nobody works its queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """One rule that holds a run back. Its text is a sentence for people."""

    code: Rule
    sentence: str
    """What it says, but for the runs."""
    limit: str | None = None
    """The limit, as the run would be ``blocked_on`` it; None, if it is none, or that of the queue as a whole."""
    since: datetime | None = None
    until: datetime | None = None
    """When it ends by itself, if that is known."""
    runs: tuple[int, ...] = ()
    """The ids of the runs that it waits for, the earliest first; of very many, the first ones."""
    actor: str | None = None
    reason: str = ""
    """Who set it, and why."""

    def __str__(self) -> str:
        if not self.runs:
            return self.sentence
        return f"{self.sentence.rstrip('.')}: {', '.join(f'#{run_id}' for run_id in self.runs)}."


def shown(moment: datetime) -> str:
    """A moment, as sentences have it: in the current time zone, as all that stands around them."""
    local = moment if timezone.is_naive(moment) else timezone.localtime(moment)
    return local.isoformat(sep=" ", timespec="seconds")
