"""Ways for an attempt to end, as the engine takes them."""

from __future__ import annotations

from typing import Any

from django_jobqueue.engines.base import LostRun, Ref, Settlement
from django_jobqueue.states import Outcome, Reason, State


def completed(ref: Ref, **fields: Any) -> Settlement:
    end = {"outcome": Outcome.COMPLETED, "state": State.COMPLETED, "reason": Reason.RETURNED}
    return Settlement(ref, **(end | fields))


def failed(ref: Ref, **fields: Any) -> Settlement:
    end = {"outcome": Outcome.FAILED, "state": State.FAILED, "reason": Reason.JOB_FAILED, "counter": "failures"}
    return Settlement(ref, **(end | fields))


def retried(ref: Ref, **fields: Any) -> Settlement:
    end = {"outcome": Outcome.RETRIED, "state": State.PENDING, "counter": "failures"}
    return Settlement(ref, **(end | fields))


def sent_back(lost: LostRun) -> Settlement:
    """What a reaper makes of a first crash."""
    error = f"{lost.worker} is gone"
    return Settlement(lost.ref, outcome=Outcome.CRASHED, state=State.PENDING, counter="crashes", error=error)


def given_up(lost: LostRun) -> Settlement:
    """What a reaper makes of one crash too many."""
    end: dict[str, Any] = {"outcome": Outcome.CRASHED, "state": State.DEAD_LETTERED, "reason": Reason.MAX_CRASHES}
    return Settlement(lost.ref, counter="crashes", **end)
