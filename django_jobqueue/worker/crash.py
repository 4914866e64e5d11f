"""Crashes: what becomes of a run whose attempt has lost its process."""

from __future__ import annotations

from django_jobqueue.conf import JobOptions
from django_jobqueue.engines.base import Claim, LostRun, Settlement
from django_jobqueue.errors import JobQueueError
from django_jobqueue.jobs import registry
from django_jobqueue.retry import crash_delay
from django_jobqueue.states import Delivery, Outcome, Reason, State


def crashed(run: Claim | LostRun, error: str) -> Settlement:
    """Start it again, unless that is not allowed, or has come to this too often.

    Where it need not wait, it has its old place in the line: those who were added later do not come before it.
    """
    (state, reason), delay = _fate(run), crash_delay(run.crashes + 1)
    return Settlement(
        run.ref,
        outcome=Outcome.CRASHED,
        state=state,
        reason=reason,
        counter="crashes",
        run_at=None if delay else run.run_at,
        delay_seconds=delay,
        error=error,
    )


def _fate(run: Claim | LostRun) -> tuple[State, Reason | None]:
    if run.delivery == Delivery.AT_MOST_ONCE:
        return State.DEAD_LETTERED, Reason.LOST
    if run.crashes + 1 >= _options(run).max_crashes:
        return State.DEAD_LETTERED, Reason.MAX_CRASHES
    return State.PENDING, None


def _options(run: Claim | LostRun) -> JobOptions:
    """The options of its job; the defaults, if this release does not know the job."""
    try:
        return registry.get(run.queue, run.job).options
    except JobQueueError:
        return JobOptions()
