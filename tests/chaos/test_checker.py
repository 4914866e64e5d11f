"""The checker finds what it is there to find: each of its checks, in evidence that is otherwise in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from django_jobqueue.models import Attempt, Run
from tests.acceptance.programs import Effect
from tests.chaos.checker import Evidence, violations
from tests.chaos.settings import EVERY_SECONDS

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)


def at(seconds: float) -> float:
    return EPOCH.timestamp() + seconds


def make_run(run_id: int, **fields: Any) -> Run:
    """A run that has completed after ten seconds, with its first attempt."""
    ended = {
        "state": "completed",
        "attempt": 1,
        "result": "by attempt 1",
        "finished_at": EPOCH + timedelta(seconds=10),
        "delivery": "at_least_once",
    }
    return Run(**({"id": run_id, "queue": "chaos", "job": "work"} | ended | fields))


def make_tick(run_id: int, number: int, **fields: Any) -> Run:
    fires_at = EPOCH + timedelta(seconds=number * EVERY_SECONDS)
    return make_run(run_id, schedule_id=1, fires_at=fires_at, **fields)


def make_attempt(number: int, outcome: str, worker: int | None = None) -> Attempt:
    """By the *worker* of that process, or of the one that has the same number."""
    return Attempt(run_id=1, number=number, outcome=outcome, worker=f"host:{worker or number}:a")


def make_event(attempt: int, outcome: str, state: str, seconds: float) -> dict[str, Any]:
    """What was told after so many seconds of an attempt of run 1."""
    moment = (EPOCH + timedelta(seconds=seconds)).isoformat()
    return {"run": 1, "attempt": attempt, "outcome": outcome, "state": state, "time": moment}


def effects_of(*executions: tuple[int, float, float | None]) -> list[Effect]:
    """Each attempt of run 1 with when it starts and ends; its process has the same number."""
    found = []
    for attempt, start, end in executions:
        found.append(Effect(1, attempt, attempt, "start", at(start)))
        found += [] if end is None else [Effect(1, attempt, attempt, "end", at(end))]
    return found


ENTERED = make_run(5, job="enter", attempt=2, failures=1, result="by attempt 2")
IN_ORDER = Evidence(
    acknowledged={1, 5},
    runs={1: make_run(1), 2: make_tick(2, 1), 3: make_tick(3, 2), 4: make_tick(4, 5, missed=2), 5: ENTERED},
    attempts=[make_attempt(1, "completed")],
    effects=effects_of((1, 1, 9)),
    events=[make_event(1, "completed", "completed", 9)],
    lost=set(),
    dropped=set(),
    written=[(5, 2)],
    kills={},
    lease_seconds=1,
    forgivable_seconds=2,
    exits=[("worker", 0, 0)],
)
KILLED = replace(
    IN_ORDER,
    runs=IN_ORDER.runs | {1: make_run(1, attempt=2, crashes=1, result="by attempt 2")},
    attempts=[make_attempt(1, "crashed"), make_attempt(2, "completed")],
    effects=effects_of((1, 1, None), (2, 4.9, 9)),
    events=[make_event(2, "completed", "completed", 9)],
    kills={1: at(2)},
)
"""In order too: its worker was killed after two seconds, and it started again within three."""

CHILD_KILLED = replace(
    KILLED,
    attempts=[make_attempt(1, "crashed", worker=9), make_attempt(2, "completed", worker=9)],
    effects=effects_of((1, 1, None), (2, 8, 9)),
    events=[*KILLED.events, make_event(1, "crashed", "pending", 3.9)],
)
"""In order as well: only its child was killed, and it was given back within two seconds."""


def with_runs(evidence: Evidence, *runs: Run) -> Evidence:
    return replace(evidence, runs=evidence.runs | {run.id: run for run in runs})


def test_nothing_is_found_where_all_is_in_order() -> None:
    assert violations(IN_ORDER) == violations(KILLED) == violations(CHILD_KILLED) == []


@pytest.mark.parametrize(
    ("evidence", "found"),
    [
        (with_runs(IN_ORDER, make_run(1, state="pending", attempt=0)), ["C1", "C3", "C4"]),
        (replace(IN_ORDER, acknowledged={5}), ["C2"]),
        (replace(IN_ORDER, attempts=[make_attempt(1, "completed"), make_attempt(2, "failed")]), ["C3"]),
        (replace(IN_ORDER, events=2 * list(IN_ORDER.events)), ["C3"]),
        (replace(IN_ORDER, effects=effects_of((1, 11, 12))), ["C4"]),
        (replace(IN_ORDER, effects=effects_of((1, 1, 2), (1, 3, 4))), ["C5"]),
        (with_runs(IN_ORDER, make_run(1, failures=1)), ["C5"]),
        (with_runs(KILLED, make_run(1, attempt=2, crashes=1, result="by attempt 2", delivery="at_most_once")), ["C5"]),
        (replace(KILLED, effects=effects_of((1, 1, 6), (2, 4.9, 9))), ["C6"]),
        (replace(KILLED, effects=effects_of((1, 1, None), (2, 5.1, 9))), ["C7"]),
        (replace(KILLED, effects=effects_of((2, 5.1, 9))), ["C7"]),
        (replace(CHILD_KILLED, events=[*KILLED.events, make_event(1, "crashed", "pending", 4.1)]), ["C7"]),
        (with_runs(KILLED, make_run(1, attempt=2, crashes=1, result="by attempt 1")), ["C8"]),
        (with_runs(IN_ORDER, make_tick(6, 2)), ["C9"]),
        (with_runs(IN_ORDER, make_tick(4, 5, missed=1)), ["C9"]),
        (replace(IN_ORDER, runs={1: make_run(1), 5: ENTERED}), ["C9"]),
        (replace(IN_ORDER, exits=[("worker", 1, 0)]), ["C10"]),
        (replace(IN_ORDER, orphans=["process 1"]), ["C10"]),
        (with_runs(IN_ORDER, make_tick(4, 5, missed=2, lease_until=EPOCH)), ["C10"]),
        (replace(IN_ORDER, written=[]), ["C11"]),
        (replace(IN_ORDER, written=[(5, 2), (5, 2)]), ["C11"]),
        (replace(IN_ORDER, written=[(5, 1), (5, 2)]), ["C11"]),
    ],
    ids=[
        "not-ended",
        "not-added",
        "two-attempts-end-it",
        "told-twice",
        "starts-after-its-end",
        "attempt-starts-twice",
        "failure-not-counted",
        "once-starts-twice",
        "overlap",
        "late",
        "late-though-it-had-not-started",
        "given-back-late",
        "result-of-another-attempt",
        "due-time-twice",
        "due-time-lost",
        "never-fired",
        "exit-code",
        "process-left",
        "lease-left",
        "entry-lost",
        "entry-twice",
        "entry-of-another-attempt",
    ],
)
def test_each_check_finds_what_it_is_there_for(evidence: Evidence, found: Sequence[str]) -> None:
    assert [what.partition(":")[0] for what in violations(evidence)] == found
