"""Prepared statements: a worker has its own, which are planned once; what the project says is said as it wants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from django.db import connection, connections

from django_jobqueue import job, queues
from django_jobqueue.models import Run
from django_jobqueue.states import State
from django_jobqueue.worker.observer import Observer
from django_jobqueue.worker.prepared_statements import prepared_statements
from django_jobqueue.worker.runner import Ended
from django_jobqueue.worker.sessions import sessions_with
from tests.worker.conftest import Work

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgresql]


def prepared() -> list[str]:
    """What is prepared in the session of this thread."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements")
        return [statement for [statement] in cursor.fetchall()]


def planning() -> str:
    """How the session of this thread plans what is prepared."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW plan_cache_mode")
        [mode] = cursor.fetchone()
    return str(mode)


class Looking(Observer):
    """Looks after each settlement, in the main thread, at what that has prepared; and asks something itself."""

    statements: Sequence[str] = ()
    mode = ""

    def attempts_settled(self, settled: Sequence[tuple[Ended, State]]) -> None:
        assert len(Run.objects.filter(pk__in=[ended.claim.id for ended, _ in settled])) == len(settled)
        self.statements, self.mode = prepared(), planning()


@pytest.fixture
def observer() -> Looking:
    return Looking()


@pytest.fixture
def results(work: Work, observer: Looking) -> list[object]:
    """What each of some jobs, one after the other, has found in the session of its thread, which said the same thing often."""

    @job
    def look() -> list[Any]:
        return [*(len(prepared()) for _ in range(10)), planning()]

    queues.default.bulk_add({"job": "look"} for _ in range(10))
    work(concurrency=1, observer=observer)
    return [run.result for run in Run.objects.all()]


def test_a_worker_prepares_its_statements_and_no_others(results: list[object], observer: Looking) -> None:
    assert any("UPDATE jobqueue_run" in statement for statement in observer.statements)
    assert not any('FROM "jobqueue_run"' in statement for statement in observer.statements)
    assert results == [[0] * 10 + ["auto"]] * 10
    assert prepared() == []


@pytest.mark.usefixtures("results")
def test_a_worker_lets_its_statements_be_planned_once(observer: Looking) -> None:
    assert observer.mode == "force_generic_plan"
    assert planning() == "auto"


@pytest.fixture
def binding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Say what a project says that has its own statements sent apart from their values."""
    connections.close_all()
    monkeypatch.setitem(connections.settings["default"], "OPTIONS", {"server_side_binding": True})


@pytest.mark.usefixtures("binding", "results")
def test_a_worker_does_not_plan_once_what_the_project_binds(observer: Looking) -> None:
    assert observer.mode == "auto"


def test_another_connection_to_the_same_database_is_left_alone() -> None:
    connection.close()
    other = connections.create_connection("default")

    with sessions_with(prepared_statements):
        other.connect()

    with other.cursor() as cursor:
        cursor.execute("SHOW plan_cache_mode")
        assert cursor.fetchone() == ("auto",)
    other.close()


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Say what a project says that reaches its database through a pool of sessions, each for a transaction."""
    connections.close_all()
    monkeypatch.setitem(connections.settings["default"], "DISABLE_SERVER_SIDE_CURSORS", True)


@pytest.mark.usefixtures("pool", "results")
def test_a_worker_prepares_nothing_where_sessions_are_pooled(observer: Looking) -> None:
    assert observer.statements == []
    assert observer.mode == "auto"
