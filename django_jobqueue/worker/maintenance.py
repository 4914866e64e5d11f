"""Maintenance: what any worker does for all, about every second."""

from __future__ import annotations

import random
from time import monotonic

from django_jobqueue.conf import JobOptions, get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import LostRun, Settlement
from django_jobqueue.errors import JobQueueError
from django_jobqueue.jobs import registry
from django_jobqueue.retry import crash_delay
from django_jobqueue.states import Delivery, Outcome, Reason, State
from django_jobqueue.worker.observer import Observer

INTERVAL_SECONDS = 1.0


class Maintenance:
    """Reaps. It needs no leader: what two workers do at once is done once, because every write is fenced."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self.due_at = 0.0
        """When the next turn is due, by ``time.monotonic()``; jittered, so that workers do not move in step."""

    def turn(self) -> bool:
        """Do what is due; answer whether runs went back to pending."""
        if monotonic() < self.due_at:
            return False
        config = get_config()
        reaped = engine_for(config.database).reap(config.namespace, crashed)
        self.due_at = monotonic() + INTERVAL_SECONDS * random.uniform(0.8, 1.2)
        for lost, state in reaped:
            self._observer.reaped(lost, crashed(lost), state)
        return any(state == State.PENDING for _, state in reaped)


def crashed(lost: LostRun) -> Settlement:
    """What becomes of a run whose worker vanished."""
    state, reason = _fate(lost)
    return Settlement(
        *lost.ref,
        outcome=Outcome.CRASHED,
        state=state,
        reason=reason,
        counter="crashes",
        delay_seconds=crash_delay(lost.crashes + 1),
        error=f"Worker {lost.worker} vanished: its lease ended without a heartbeat.",
    )


def _fate(lost: LostRun) -> tuple[State, Reason | None]:
    if lost.delivery == Delivery.AT_MOST_ONCE:
        return State.DEAD_LETTERED, Reason.LOST
    if lost.crashes + 1 >= _options(lost).max_crashes:
        return State.DEAD_LETTERED, Reason.MAX_CRASHES
    return State.PENDING, None


def _options(lost: LostRun) -> JobOptions:
    """The options of its job; the defaults, if this release does not know the job."""
    try:
        return registry.get(lost.queue, lost.job).options
    except JobQueueError:
        return JobOptions()
