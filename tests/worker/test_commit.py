"""A signal that comes while a result is committed neither loses it nor doubles it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError, connection

from django_jobqueue import job, queues
from django_jobqueue.management.commanding import obey_signals
from django_jobqueue.models import Run
from tests.worker.bench import Recorder, WorkerThread
from tests.worker.conftest import OnConnect, Work

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def handlers() -> Iterator[None]:
    """Give back what ``obey_signals`` takes."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Commit:
    """The commit of what settles an attempt, in the thread that the test works in: *before* and *after* it, do something."""

    def __init__(self, before: Any, after: Any) -> None:
        self.count = 0
        self._before, self._after = before, after
        self._settling = False

    def watch(self, new: Any) -> None:
        """See to a connection that was just made."""
        if threading.current_thread() is threading.main_thread():
            commit = new._commit
            new.execute_wrappers.append(self._look)
            new._commit = lambda: self._pass(commit)

    def _look(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        self._settling = self._settling or "INSERT INTO jobqueue_attempt" in sql
        return execute(sql, params, many, context)

    def _pass(self, commit: Any) -> None:
        settling, self._settling = self._settling, False
        if settling:
            self.count += 1
            self._before()
        commit()
        if settling:
            self._after()


@pytest.mark.parametrize("moment", ["before", "after", "reply lost"])
@pytest.mark.parametrize(("stops", "code"), [(1, 0), (2, 3)])
@pytest.mark.usefixtures("handlers")
def test_a_sigterm_within_the_commit_of_a_result_neither_loses_nor_doubles_it(
    observer: Recorder, on_connect: OnConnect, work: Work, moment: str, stops: int, code: int
) -> None:
    starts: list[int] = []

    @job
    def note() -> str:
        starts.append(1)
        return "kept"

    worker = WorkerThread(["default"], observer).worker  # here, as signals come to the main thread

    def terminate() -> None:
        if commit.count == 1:
            for _ in range(stops):
                os.kill(os.getpid(), signal.SIGTERM)
            if moment == "reply lost":
                raise OperationalError("the network is down")

    commit = Commit(*((terminate, lambda: None) if moment == "before" else (lambda: None, terminate)))
    on_connect(commit.watch)
    obey_signals(worker.stop)
    run = queues.default.add("note")
    connection.close()

    assert worker.run() == code

    run.refresh_from_db()
    assert starts == [1]
    assert (run.state, run.attempt, run.result) == ("completed", 1, "kept")
    assert [attempt.outcome for attempt in run.attempts.all()] == ["completed"]
    assert [ended.claim.id for ended, _ in observer.settled] == [run.id]
    assert work() == 0
    assert starts == [1]
    assert Run.objects.count() == 1
