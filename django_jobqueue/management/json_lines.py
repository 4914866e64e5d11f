"""What ``runjobs --log-format json`` prints: one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from django.core.management.base import OutputWrapper

from django_jobqueue.engines.base import Claim, LostRun, Settlement
from django_jobqueue.states import Outcome, Reason, State
from django_jobqueue.worker.observer import Observer
from django_jobqueue.worker.runner import Ended


class JSONLines(Observer):
    """Lines for programs. Verbosity 0 prints nothing, 1 an object per attempt, 2 with its traceback."""

    def __init__(self, out: OutputWrapper, *, verbosity: int) -> None:
        self._out = out
        self._verbosity = verbosity

    def started(self, name: str, queues: Mapping[str, int | None], concurrency: int) -> None:
        slots = {queue: most for queue, most in queues.items() if most is not None}
        self._write("worker_started", worker=name, queues=list(queues), slots=slots, concurrency=concurrency)

    def stopping(self, running: int, grace_seconds: float) -> None:
        self._write("worker_stopping", running=running, grace_seconds=grace_seconds)

    def ended(self, ended: Ended, state: State) -> None:
        self._write("attempt_ended", **_facts(ended.claim, ended.settlement, state), seconds=round(ended.seconds, 6))

    def reaped(self, lost: LostRun, settlement: Settlement, state: State) -> None:
        self._write("attempt_lost", **_facts(lost, settlement, state), worker=lost.worker)

    def _write(self, event: str, **facts: object) -> None:
        if self._verbosity == 0:
            return
        if self._verbosity < 2:
            facts.pop("traceback", None)
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **facts}
        try:
            self._out.write(json.dumps(line))
            self._out.flush()
        except (OSError, ValueError):  # nobody reads any more; the work goes on
            self._verbosity = 0


def _facts(run: Claim | LostRun, settlement: Settlement, state: State) -> dict[str, object]:
    cancelled = state == State.CANCELLED  # whatever the job made of being asked to end
    return {
        "run": run.id,
        "attempt": run.attempt,
        "queue": run.queue,
        "job": run.job,
        "outcome": Outcome.CANCELLED if cancelled else settlement.outcome,
        "state": state,
        "reason": Reason.CANCELLED if cancelled else settlement.reason,
        "delay_seconds": settlement.delay_seconds if state == State.PENDING else None,
        "error": settlement.error,
        "traceback": settlement.traceback,
    }
