"""Events: what became of runs and schedules, as Django signals.

A receiver gets ``event=``, an immutable object that says all without a query, and ``sender``, its class. Events are
sent after the commit, in the order in which one process learned of them, at most once each: a crash may lose one. A
receiver that raises is logged, and breaks nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from django.db import transaction
from django.dispatch import Signal
from django.utils import timezone

from django_jobqueue.states import Outcome, Reason, State

logger = logging.getLogger(__name__)

run_enqueued = Signal(use_caching=True)
"""Sends RunEnqueued: a run was committed."""
run_started = Signal(use_caching=True)
"""Sends RunStarted: an attempt starts."""
run_completed = Signal(use_caching=True)
"""Sends RunCompleted: a run ended well."""
run_retrying = Signal(use_caching=True)
"""Sends RunRetrying: an attempt failed or crashed, and another one will come."""
run_failed = Signal(use_caching=True)
"""Sends RunFailed: a run ended badly, failed or dead-lettered."""
run_dead_lettered = Signal(use_caching=True)
"""Sends RunDeadLettered: also, where the run was dead-lettered."""
run_cancelled = Signal(use_caching=True)
"""Sends RunCancelled: a run was cancelled, or expired."""
schedule_triggered = Signal(use_caching=True)
"""Sends ScheduleTriggered: a schedule fired."""
scheduler_ticked = Signal(use_caching=True)
"""Sends SchedulerTicked: due schedules were looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that has happened."""

    key: ClassVar[str]
    """What kind of event this is, in a word that does not change."""
    version: ClassVar[int] = 1
    """Rises when a field changes its meaning, or goes."""
    signal: ClassVar[Signal]

    namespace: str
    at: datetime = field(default_factory=timezone.now)
    """When this process learned of it, by its own clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvent(Event):
    """Something that has happened to a run."""

    run_id: int
    queue: str
    job: str
    state: State
    """The state of the run after it."""
    attempt: int = 0
    """The number of the latest attempt; 0 before the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEvent(RunEvent):
    """Something that has happened to a run because an attempt has ended."""

    worker: str
    outcome: Outcome
    error: str | None = None
    seconds: float | None = None
    """How long the job took; None where nobody knows, because its worker vanished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnqueued(RunEvent):
    key = "job.enqueued"
    signal = run_enqueued

    state: State = State.PENDING
    run_at: datetime
    replay_of: int | None = None
    """The id of the run whose payload is run again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(RunEvent):
    key = "job.started"
    signal = run_started

    state: State = State.RUNNING
    worker: str
    run_at: datetime
    """When this attempt was due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCompleted(AttemptEvent):
    key = "job.completed"
    signal = run_completed


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRetrying(AttemptEvent):
    key = "job.retrying"
    signal = run_retrying

    run_at: datetime
    """When the next attempt is due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFailed(AttemptEvent):
    key = "job.failed"
    signal = run_failed

    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDeadLettered(RunFailed):
    key = "job.dead_lettered"
    signal = run_dead_lettered


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCancelled(RunEvent):
    key = "job.cancelled"
    signal = run_cancelled

    state: State = State.CANCELLED
    reason: Reason = Reason.CANCELLED
    worker: str | None = None
    """Whose attempt ended with it; None where none did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleTriggered(Event):
    key = "scheduler.job_triggered"
    signal = schedule_triggered

    schedule: str
    """The name of the schedule."""
    queue: str
    job: str
    run_id: int
    """The run that it made."""
    fires_at: datetime
    """The due time that the run is for."""
    missed: int = 0
    """How many earlier due times it stands for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerTicked(Event):
    key = "scheduler.tick"
    signal = scheduler_ticked

    fired: int
    """How many schedules fired."""


class _Thread(threading.local):
    carrier: Callable[[Iterable[Event]], None] | None = None


_thread = _Thread()


def heard(*kinds: type[Event]) -> bool:
    """Whether anybody listens to events of one of these *kinds*: if not, none need be made."""
    # Mostly a signal has no receivers at all, and that is soon seen.
    return any(kind.signal.receivers and kind.signal.has_listeners(kind) for kind in kinds)


def send(events: Iterable[Event]) -> None:
    """Send *events* now, in this thread, or by whoever carries the events of this thread."""
    if _thread.carrier is not None:
        _thread.carrier(events)
        return
    for event in events:
        _send(event)


def send_on_commit(events: Iterable[Event], *, using: str) -> None:
    """Send *events* when the transaction of database *using* is committed; now, if there is none."""
    transaction.on_commit(lambda: send(events), using=using, robust=True)


def carry(carrier: Callable[[Iterable[Event]], None] | None) -> None:
    """Give what this thread sends from now on to *carrier*: for a thread that must not wait for receivers."""
    _thread.carrier = carrier


def _send(event: Event) -> None:
    try:
        event.signal.send_robust(sender=type(event), event=event)
    except Exception:  # Django logs what a receiver raises, but fails to for one that has no __qualname__
        logger.exception("A receiver of %s failed.", event.key)
