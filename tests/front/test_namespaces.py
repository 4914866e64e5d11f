"""Deployments that share a database, each in a namespace of its own, never see each other's runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeAlias

import pytest
from django.utils import timezone
from pytest_django import Settings

from django_jobqueue import job, queues
from django_jobqueue.engines import engine_for
from django_jobqueue.errors import RunNotFound
from django_jobqueue.models import Run
from django_jobqueue.operations import cancel, explain, get, replay, reschedule
from django_jobqueue.operations.expiring import expire_some
from django_jobqueue.operations.purging import Walk, cleanups_of
from django_jobqueue.testing import drain
from django_jobqueue.worker.leases import Leases
from django_jobqueue.worker.observer import Observer
from django_jobqueue.worker.reaper import Reaper
from tests.front.conftest import send

pytestmark = pytest.mark.django_db

In: TypeAlias = Callable[[str], None]


@pytest.fixture
def enter(settings: Settings) -> In:
    """Be the deployment of a namespace."""

    def enter(namespace: str) -> None:
        settings.JOBQUEUE = {"namespace": namespace, "queues": {"mail": {"cleanup": {"completed_after_seconds": 0}}}}
        job(queue="mail")(send)
        job(queue="mail", name="once", unique="live")(send)

    return enter


@pytest.fixture
def theirs(enter: In) -> Run:
    """A run of namespace ``green``, in the eyes of ``blue``."""
    enter("green")
    run: Run = queues.mail.add("once", idempotency_key="a")
    enter("blue")
    return run


OPERATIONS: dict[str, Callable[[int], object]] = {
    "get": get,
    "cancel": lambda run_id: cancel(run_id, actor="ada"),
    "replay": lambda run_id: replay(run_id, actor="ada"),
    "explain": explain,
    "reschedule": lambda run_id: reschedule(run_id, delay_seconds=5, actor="ada"),
}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_no_operation_finds_the_runs_of_others(theirs: Run, operation: Callable[[int], object]) -> None:
    with pytest.raises(RunNotFound):
        operation(theirs.pk)


def test_no_query_and_no_worker_sees_the_runs_of_others(theirs: Run) -> None:
    engine = engine_for("default")

    assert not queues.mail.runs().exists()
    assert engine.next_due("blue", ["mail"]) is None
    assert engine.claim("blue", "mail", worker="worker-a", limit=10, lease_seconds=30) == []
    assert drain() == []
    theirs.refresh_from_db()
    assert theirs.state == "pending"


def test_nobody_expires_reaps_or_purges_the_runs_of_others(theirs: Run) -> None:
    past = timezone.now() - timedelta(days=1)
    states: list[dict[str, Any]] = [
        {"state": "pending", "expires_at": past},
        {"state": "running", "lease_until": past},
        {"state": "completed", "lease_until": None, "finished_at": past, "reason": "returned"},
    ]
    for columns in states:
        Run.objects.filter(pk=theirs.pk).update(created_at=past, **columns)

        expire_some()
        Reaper(Observer()).turn(Leases())

        assert Walk(cleanups_of()).step() == {}
        assert Run.objects.get(pk=theirs.pk).state == columns["state"]


def test_neither_uniqueness_nor_an_idempotency_key_reaches_into_another_namespace(theirs: Run) -> None:
    ours = queues.mail.add("once", idempotency_key="a")

    assert ours.added
    assert ours != theirs
    assert ours.unique_lock == theirs.unique_lock
    assert queues.mail.add("once", on_duplicate="replace").added
    theirs.refresh_from_db()
    assert theirs.state == "pending"


def test_a_window_outlives_the_purge(enter: In) -> None:
    enter("blue")
    job(queue="mail", name="daily", unique=86400)(send)
    run = queues.mail.add("daily")
    past = timezone.now() - timedelta(days=1)
    Run.objects.update(state="completed", reason="returned", finished_at=past, created_at=past)

    assert Walk(cleanups_of()).step() == {}
    over = f"w{int(timezone.now().timestamp()) - 1:010d}{'0' * 53}"
    Run.objects.update(unique_lock=over)
    assert [*Walk(cleanups_of()).step()] == [run.pk]
