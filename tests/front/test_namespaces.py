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
from django_jobqueue.limiting.limiter import Limiter
from django_jobqueue.models import IdempotencyKey, LimitBucket, QueueState, Run, Schedule
from django_jobqueue.operations import (
    RunFilter,
    cancel,
    cancel_many,
    check_pending,
    clear_limit,
    explain,
    get,
    pause_job,
    pause_queue,
    replay,
    replay_many,
    reschedule,
    resume_job,
    resume_queue,
    schedule_create,
    schedule_delete,
    schedule_list,
    schedule_toggle,
    set_limit,
    stats,
)
from django_jobqueue.operations.expiring import expire_some
from django_jobqueue.operations.forgetting import forget_some
from django_jobqueue.operations.purging import Walk, cleanups_of
from django_jobqueue.scheduler import Scheduler
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


def test_nobody_pauses_or_limits_the_runs_of_others(enter: In) -> None:
    engine = engine_for("default")
    for namespace in ("green", "blue"):
        enter(namespace)
        queues.mail.add("send")
    enter("green")
    pause_queue("mail", actor="ada")
    pause_job("mail", "once", actor="ada")
    set_limit("mail", "concurrent_jobs", 1, actor="ada")

    enter("blue")
    assert QueueState.objects.count() == 2
    assert not resume_queue("mail", actor="bob")
    assert not resume_job("mail", "once", actor="bob")
    assert not clear_limit("mail", "concurrent_jobs", actor="bob")
    assert len(engine.claim("blue", "mail", worker="worker-b", limit=10, lease_seconds=30)) == 1
    enter("green")
    assert engine.claim("green", "mail", worker="worker-g", limit=10, lease_seconds=30) == []
    assert resume_queue("mail", actor="ada")


def test_keys_and_rates_of_others_are_not_counted(settings: Settings) -> None:
    @job(queue="mail", concurrency_key="to", concurrent_jobs_per_key=1, rate_limit="1/h", rate_key="to")
    def deliver(to: str) -> None:
        """Deliver."""

    claimed = []
    for namespace in ("green", "blue"):
        settings.JOBQUEUE = {"namespace": namespace, "queues": {"mail": {}}}
        queues.mail.bulk_add({"job": "deliver", "payload": {"to": "n1"}} for _ in range(3))
        with Limiter().turn(["mail"]) as turn:
            claimed.append(len(turn.claim("mail", worker=namespace, limit=10, ahead=0, lease_seconds=30).claims))

    assert claimed == [1, 1]
    assert {*LimitBucket.objects.values_list("namespace", flat=True)} == {"green", "blue"}


def test_figures_and_operations_on_many_are_about_our_own_only(theirs: Run, enter: In) -> None:
    queues.mail.add("send")

    assert stats("mail").queues["mail"].pending == 1
    assert check_pending().runs == 1
    assert cancel_many(RunFilter(queue="mail"), actor="ada").cancelled == 1
    assert replay_many(RunFilter(states=["cancelled"]), actor="ada").replayed == 1
    assert stats("mail").queues["mail"].cancelled == 1

    enter("green")
    figures = stats("mail").queues["mail"]
    assert (figures.pending, figures.cancelled) == (1, 0)
    assert [run.pk for run in queues.mail.runs()] == [theirs.pk]


def test_a_schedule_fires_in_its_own_namespace_only(enter: In) -> None:
    for namespace in ("green", "blue"):
        enter(namespace)
        schedule_create("nightly", queue="mail", job="send", every_seconds=60, actor="ada")
    past = timezone.now() - timedelta(seconds=1)
    Schedule.objects.update(next_run_at=past)

    Scheduler().tick()

    assert [run.namespace for run in Run.objects.all()] == ["blue"]
    assert [each.namespace for each in schedule_list()] == ["blue"]
    schedule_toggle("nightly", enabled=False, actor="ada")
    schedule_delete("nightly", actor="ada")
    assert Schedule.objects.get().namespace == "green"
    assert Schedule.objects.get().enabled
    assert Schedule.objects.get().next_run_at == past


def test_nobody_forgets_what_others_remember(theirs: Run, enter: In) -> None:
    past = timezone.now() - timedelta(days=400)
    IdempotencyKey.objects.update(expires_at=past)

    forget_some()
    assert IdempotencyKey.objects.exists()

    enter("green")
    forget_some()
    assert not IdempotencyKey.objects.exists()


def test_a_window_outlives_the_purge(enter: In) -> None:
    enter("blue")
    job(queue="mail", name="daily", unique=366 * 86400)(send)
    run = queues.mail.add("daily")
    past = timezone.now() - timedelta(days=1)
    Run.objects.update(state="completed", reason="returned", finished_at=past, created_at=past)

    assert Walk(cleanups_of()).step() == {}
    over = f"w{int(timezone.now().timestamp()) - 1:010d}{'0' * 53}"
    Run.objects.update(unique_lock=over)
    assert [*Walk(cleanups_of()).step()] == [run.pk]
