"""Prepared statements: the worker's own thread has them, and jobs have what their project wants."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from django.db import connection, connections

from django_jobqueue import job, queues
from django_jobqueue.models import Run
from django_jobqueue.states import State
from django_jobqueue.worker.observer import Observer
from django_jobqueue.worker.runner import Ended
from tests.worker.conftest import Work

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgresql]


def prepared() -> int:
    """How many statements are prepared in the session of this thread."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements")
        [count] = cursor.fetchone()
    return int(count)


class Counting(Observer):
    """Counts after each settlement, in the main thread."""

    most = 0

    def attempts_settled(self, settled: Sequence[tuple[Ended, State]]) -> None:
        self.most = max(self.most, prepared())


@pytest.fixture
def observer() -> Counting:
    return Counting()


@pytest.fixture
def results(work: Work, observer: Counting) -> list[object]:
    """What each of some jobs, one after the other, has counted in its thread, which said the same thing often."""

    @job
    def count() -> int:
        return max(prepared() for _ in range(10))

    queues.default.bulk_add({"job": "count"} for _ in range(10))
    work(concurrency=1, observer=observer)
    return [run.result for run in Run.objects.all()]


def test_a_worker_prepares_its_statements_and_no_others(results: list[object], observer: Counting) -> None:
    assert observer.most > 0
    assert results == [0] * 10
    assert prepared() == 0


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Say what a project says that reaches its database through a pool of sessions, each for a transaction."""
    connections.close_all()
    monkeypatch.setitem(connections.settings["default"], "DISABLE_SERVER_SIDE_CURSORS", True)


@pytest.mark.usefixtures("pool", "results")
def test_a_worker_prepares_nothing_where_sessions_are_pooled(observer: Counting) -> None:
    assert observer.most == 0
