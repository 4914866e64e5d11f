from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any, TypeAlias

import pytest
from django.db import connections
from django.utils import timezone
from pytest_django import Settings

from django_jobqueue import job
from django_jobqueue.jobs import JobRegistry, registry
from django_jobqueue.models import Run
from django_jobqueue.states import FINAL_STATES, State

MakeRun: TypeAlias = Callable[..., Run]
AtOnce: TypeAlias = "Callable[[Callable[[], Any]], list[Any]]"

REASONS = {
    State.COMPLETED: "returned",
    State.FAILED: "job_failed",
    State.DEAD_LETTERED: "max_attempts",
    State.CANCELLED: "cancelled",
}


def send(to: str = "nobody") -> None:
    """Send one letter."""


def render(**order: object) -> None:
    """Render one report."""


@pytest.fixture(autouse=True)
def shop(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two queues, of one job each."""
    monkeypatch.setattr(registry, "__dict__", vars(JobRegistry()))
    settings.JOBQUEUE = {"queues": {"mail": {}, "reports": {}}}
    job(queue="mail")(send)
    job(queue="reports")(render)


def row(state: str = "pending", **columns: Any) -> Run:
    """A run as it looks in a state, of queue ``mail`` where nothing else is said; not saved."""
    now = timezone.now()
    known: dict[str, Any] = {"queue": "mail", "job": "send", "state": state, "run_at": now, "created_at": now}
    if state != State.PENDING:
        known |= {"attempt": 1, "started_at": now - timedelta(seconds=90), "worker": "web-1:4411:abcd"}
    if state == State.RUNNING:
        known |= {"lease_until": now + timedelta(seconds=30)}
    if state in FINAL_STATES:
        known |= {"finished_at": now, "reason": REASONS[State(state)]}
    return Run(**known | columns)


@pytest.fixture
def make_run() -> MakeRun:
    """Write a run as ``row`` makes it."""

    def make_run(state: str = "pending", **columns: Any) -> Run:
        run = row(state, **columns)
        run.save(force_insert=True)
        return run

    return make_run


@pytest.fixture
def at_once() -> AtOnce:
    """Call a function in four threads at the same moment, each with a connection of its own."""
    callers = 4

    def at_once(call: Callable[[], Any]) -> list[Any]:
        barrier = Barrier(callers, timeout=60)

        def start(_number: int) -> Any:
            barrier.wait()
            try:
                return call()
            finally:
                connections.close_all()

        with ThreadPoolExecutor(callers) as pool:
            return list(pool.map(start, range(callers)))

    return at_once
