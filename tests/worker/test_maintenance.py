"""Chores are done when they are due, and none of them holds up the others or the runs."""

from __future__ import annotations

import logging
import sqlite3
from math import inf
from time import monotonic
from typing import Any

import pytest
from django.db import OperationalError

from django_jobqueue import job, queues
from django_jobqueue.worker.chore import later
from django_jobqueue.worker.leases import Leases
from django_jobqueue.worker.maintenance import Maintenance
from django_jobqueue.worker.tally import Tally
from tests.worker.bench import Recorder
from tests.worker.conftest import StartWorker

pytestmark = pytest.mark.django_db(transaction=True)


class Sweeping:
    """A chore that can be told to fail."""

    def __init__(self, *, due_in: float = 0.0, frees: bool = False, error: Exception | None = None) -> None:
        self.due_at = later(due_in)
        self.turns = 0
        self._frees = frees
        self._error = error

    def turn(self, ours: Leases) -> bool:
        self.turns += 1
        if self._error is not None:
            raise self._error
        self.due_at = later(3600)
        return self._frees


@pytest.fixture
def maintenance(observer: Recorder, monkeypatch: pytest.MonkeyPatch) -> Maintenance:
    """While no time passes."""
    now = monotonic()
    for module in ("chore", "maintenance"):
        monkeypatch.setattr(f"django_jobqueue.worker.{module}.monotonic", lambda: now)
    maintenance = Maintenance(observer, Tally(), ["default"])
    maintenance._look_at = inf
    return maintenance


def test_only_what_is_due_is_done_and_the_next_due_time_is_told(maintenance: Maintenance) -> None:
    due, waiting = Sweeping(), Sweeping(due_in=100)
    maintenance._chores = [due, waiting]

    answers = [maintenance.turn(Leases()) for _ in range(3)]

    assert (due.turns, waiting.turns) == (1, 0)
    assert answers == [False] * 3
    assert maintenance.due_at == waiting.due_at


def test_every_due_chore_is_done_also_after_one_that_freed_runs(maintenance: Maintenance) -> None:
    chores = [Sweeping(frees=True), Sweeping(), Sweeping(frees=True)]
    maintenance._chores = [*chores]

    assert maintenance.turn(Leases()) is True
    assert [chore.turns for chore in chores] == [1, 1, 1]


def test_a_chore_that_fails_is_logged_and_tried_again_later(
    maintenance: Maintenance, caplog: pytest.LogCaptureFixture
) -> None:
    broken, sound = Sweeping(error=ValueError("no broom")), Sweeping()
    maintenance._chores = [broken, sound]

    for _ in range(3):
        maintenance.turn(Leases())

    assert (broken.turns, sound.turns) == (1, 1)
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "Sweeping failed; the next try follows in 5 s."
    assert 3.5 < broken.due_at - later(0) < 6.5


def test_a_database_that_is_away_is_the_worker_s_to_wait_for(maintenance: Maintenance) -> None:
    maintenance._chores = [Sweeping(error=OperationalError("gone"))]

    with pytest.raises(OperationalError):
        maintenance.turn(Leases())


def timed_out() -> OperationalError:
    """What a database that is there answers, where its operators let no statement take long."""
    cause: Any = Exception()
    cause.sqlstate, cause.sqlite_errorcode = "57014", sqlite3.SQLITE_INTERRUPT
    error = OperationalError(3024, "canceling statement due to statement timeout")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("error", [ValueError("no broom"), timed_out()], ids=["broken", "timed_out"])
def test_runs_are_worked_though_a_chore_fails(start_worker: StartWorker, observer: Recorder, error: Exception) -> None:
    @job
    def note() -> None:
        pass

    run = queues.default.add("note")
    worker = start_worker()
    worker.chores._chores.insert(0, Sweeping(error=error))

    with worker:
        observer.wait_until_settled(run)

    run.refresh_from_db()
    assert run.state == "completed"
