"""Ways for an attempt to end, as the engine takes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django_jobqueue.engines.base import Engine, LostRun, Ref, Settlement
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


def reap(
    engine: Engine, namespace: str, decide: Callable[[LostRun], Settlement], **options: Any
) -> list[tuple[LostRun, State]]:
    """Settle lost runs as *decide* says; answer with those that still were, as they were found."""
    lost = engine.lost(namespace, **options)
    states = engine.reap([decide(run) for run in lost])
    return [(run, states[run.ref]) for run in lost if run.ref in states]


def sent_back(lost: LostRun) -> Settlement:
    """What a reaper makes of a first crash."""
    error = f"{lost.worker} is gone"
    return Settlement(lost.ref, outcome=Outcome.CRASHED, state=State.PENDING, counter="crashes", error=error)


def given_up(lost: LostRun) -> Settlement:
    """What a reaper makes of one crash too many."""
    end: dict[str, Any] = {"outcome": Outcome.CRASHED, "state": State.DEAD_LETTERED, "reason": Reason.MAX_CRASHES}
    return Settlement(lost.ref, counter="crashes", **end)
