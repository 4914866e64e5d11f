"""Cancelling what runs, and noticing that a run is ours no more: the job is asked to end, and is not tried again."""

from __future__ import annotations

import asyncio
import threading
from queue import SimpleQueue
from time import monotonic
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from django_jobqueue import RunContext, job, operations, queues
from django_jobqueue.engines.base import Engine
from django_jobqueue.jobs import registry
from django_jobqueue.models import Run
from django_jobqueue.worker import heartbeat
from django_jobqueue.worker.assignment import Assignment
from django_jobqueue.worker.executors.slots import Executors
from django_jobqueue.worker.leases import Lease
from django_jobqueue.worker.reaper import crashed
from django_jobqueue.worker.runner import Ended, Refused
from tests.engines.endings import reap
from tests.worker.bench import PATIENCE_SECONDS, Gate, Recorder, wait_until
from tests.worker.conftest import StartWorker, end_lease

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def quick(quick_heartbeat: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "NOTES_SECONDS", 0.2)


@pytest.fixture
def started() -> threading.Event:
    return threading.Event()


@pytest.mark.parametrize("max_attempts", [1, 5])
def test_a_coroutine_is_cancelled_within_a_heartbeat_and_its_run_not_tried_again(
    start_worker: StartWorker, observer: Recorder, started: threading.Event, max_attempts: int
) -> None:
    cleaned_up = []

    @job(max_attempts=max_attempts, retry_on=[ValueError], on_dead_letter="mourn")
    async def wait() -> None:
        started.set()
        try:
            await asyncio.sleep(PATIENCE_SECONDS)
        finally:
            cleaned_up.append(True)

    @job
    def mourn(run_id: int) -> None:
        pass

    run = queues.default.add("wait")
    with start_worker():
        assert started.wait(PATIENCE_SECONDS)
        assert operations.cancel(run.id, actor="ann")
        assert not operations.cancel(run.id, actor="ann")
        observer.wait_until_settled(run)

    run.refresh_from_db()
    assert (run.state, run.reason, run.error) == ("cancelled", "cancelled", "CancelledError: The run was cancelled.")
    assert [attempt.outcome for attempt in run.attempts.all()] == ["cancelled"]
    assert cleaned_up == [True]
    assert not Run.objects.filter(job="mourn").exists()


@pytest.mark.postgresql
@pytest.mark.parametrize("many", [False, True], ids=["one", "many"])
def test_where_workers_are_told_a_run_is_cancelled_at_once(
    start_worker: StartWorker,
    observer: Recorder,
    started: threading.Event,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    many: bool,
) -> None:
    """The next heartbeat would come in twenty minutes."""
    monkeypatch.setattr(heartbeat, "BEATS_PER_LEASE", 3)
    settings.JOBQUEUE = {"worker": {"lease_seconds": 3600, "poll_seconds": 0.05}}

    @job
    async def wait() -> None:
        started.set()
        await asyncio.sleep(PATIENCE_SECONDS)

    run = queues.default.add("wait")
    with start_worker():
        assert started.wait(PATIENCE_SECONDS)
        wait_until(is_listened_to)
        if many:
            operations.cancel_many(operations.RunFilter(queue="default"), actor="ann")
        else:
            operations.cancel(run.id, actor="ann")
        observer.wait_until_settled(run)

    run.refresh_from_db()
    assert run.state == "cancelled"


def is_listened_to() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database())"
        )
        return bool(cursor.fetchone()[0])


def test_a_coroutine_that_completes_all_the_same_has_completed(
    start_worker: StartWorker, observer: Recorder, started: threading.Event
) -> None:
    @job
    async def insist() -> str:
        started.set()
        try:
            await asyncio.sleep(PATIENCE_SECONDS)
        except asyncio.CancelledError:
            return "done before"
        return "not cancelled"

    run = queues.default.add("insist")
    with start_worker():
        assert started.wait(PATIENCE_SECONDS)
        operations.cancel(run.id, actor="ann")
        observer.wait_until_settled(run)

    run.refresh_from_db()
    assert (run.state, run.result) == ("completed", "done before")
    assert not operations.cancel(run.id, actor="ann")


def test_a_job_that_cleans_up_for_longer_than_a_heartbeat_is_not_cancelled_again(
    start_worker: StartWorker, observer: Recorder, started: threading.Event
) -> None:
    beats: list[Any] = []

    @job
    async def clean_up(run: RunContext) -> str:
        started.set()
        try:
            await asyncio.sleep(PATIENCE_SECONDS)
        except asyncio.CancelledError:
            leases: set[Any] = set()
            while len(leases) < 4:  # so many heartbeats
                leases.add(await Run.objects.values_list("lease_until", flat=True).aget(pk=run.id))
                await asyncio.sleep(0.01)
            beats.append(len(leases))
        return "clean"

    run = queues.default.add("clean_up")
    with start_worker():
        assert started.wait(PATIENCE_SECONDS)
        operations.cancel(run.id, actor="ann")
        observer.wait_until_settled(run)

    run.refresh_from_db()
    assert (run.state, run.result, beats) == ("completed", "clean", [4])


def test_a_job_in_a_thread_that_fails_at_its_last_attempt_is_cancelled_rather_than_given_up(
    start_worker: StartWorker, observer: Recorder, gate: Gate
) -> None:
    @job(max_attempts=1)
    def fail(run: RunContext) -> None:
        gate.wait_to_pass()
        while not run.cancel_requested:
            threading.Event().wait(0.01)
        raise ConnectionAbortedError("as was to be expected")

    run = queues.default.add("fail")
    with start_worker():
        gate.wait_for_job()
        operations.cancel(run.id, actor="ann")
        gate.open()
        observer.wait_until_settled(run)

    run.refresh_from_db()
    assert (run.state, run.reason) == ("cancelled", "cancelled")
    assert run.error == "ConnectionAbortedError: as was to be expected"


def test_an_idle_worker_sees_a_cancel_while_it_claims_nothing(
    start_worker: StartWorker, observer: Recorder, started: threading.Event
) -> None:
    """All slots are taken, so that nothing but the heartbeat speaks to the database."""

    @job
    async def wait() -> None:
        started.set()
        await asyncio.sleep(PATIENCE_SECONDS)

    run = queues.default.add("wait")
    with start_worker(concurrency=1):
        assert started.wait(PATIENCE_SECONDS)
        operations.cancel(run.id, actor="ann")
        observer.wait_until_settled(run)

    run.refresh_from_db()
    assert run.state == "cancelled"


# Before the job has begun.


@pytest.fixture
def assign(engine: Engine) -> Any:
    def assign(name: str) -> Assignment:
        queues.default.add(name)
        [claim] = engine.claim("default", "default", worker="me:1:a", limit=1, lease_seconds=30)
        return Assignment(claim, registry.get("default", name), lease=Lease(claim, 30, monotonic()))

    return assign


def test_a_claim_that_waits_for_a_slot_is_given_back_instead_of_started(assign: Any, gate: Gate) -> None:
    starts = []

    @job
    def wait() -> None:
        starts.append(True)
        gate.wait_to_pass()

    inbox: SimpleQueue[Ended | Refused] = SimpleQueue()
    executors = Executors(1, lambda claim: None, inbox.put)
    first, second = assign("wait"), assign("wait")
    executors.submit([first])
    executors.submit([second])
    gate.wait_for_job()

    executors.interrupt(second.claim.ref, "cancelled")

    assert inbox.get(timeout=PATIENCE_SECONDS) == Refused(second.claim)
    gate.open()
    assert inbox.get(timeout=PATIENCE_SECONDS).claim == first.claim
    executors.close(PATIENCE_SECONDS)
    assert starts == [True]


@pytest.mark.parametrize("name", ["plain", "coroutine"])
def test_an_attempt_that_is_asked_to_end_before_anybody_has_it_does_not_begin(assign: Any, name: str) -> None:
    begun = []

    @job
    def plain() -> None:
        begun.append(True)

    @job
    async def coroutine() -> None:
        begun.append(True)

    inbox: SimpleQueue[Ended | Refused] = SimpleQueue()
    executors = Executors(1, lambda claim: None, inbox.put)
    assignment = assign(name)
    assignment.lease.ask_to_end("at once", executors.interrupt)

    executors.submit([assignment])

    assert inbox.get(timeout=PATIENCE_SECONDS) == Refused(assignment.claim)
    executors.close(PATIENCE_SECONDS)
    assert begun == []


def test_a_coroutine_that_is_cancelled_before_its_first_step_is_settled(assign: Any) -> None:
    begun: list[bool] = []

    @job
    async def wait() -> None:
        begun.append(True)
        await asyncio.sleep(PATIENCE_SECONDS)

    inbox: SimpleQueue[Ended | Refused] = SimpleQueue()
    executors = Executors(8, lambda claim: None, inbox.put)
    for _ in range(50):
        assignment = assign("wait")
        executors.submit([assignment])
        executors.interrupt(assignment.claim.ref, "at once")

        ended = inbox.get(timeout=PATIENCE_SECONDS)
        assert isinstance(ended, Ended)
        assert ended.claim == assignment.claim
        assert ended.settlement.error == "CancelledError: at once"
    executors.close(PATIENCE_SECONDS)


# A run that is ours no more.


@pytest.mark.parametrize("how", ["taken over", "ended", "deleted"])
def test_a_job_whose_lease_is_lost_is_asked_to_end(
    start_worker: StartWorker,
    observer: Recorder,
    engine: Engine,
    started: threading.Event,
    caplog: pytest.LogCaptureFixture,
    how: str,
) -> None:
    ended: list[Any] = []

    @job
    async def wait(run: RunContext) -> None:
        started.set()
        try:
            await asyncio.sleep(PATIENCE_SECONDS)
        finally:
            ended.append(run.cancel_requested)

    @job
    def follow() -> None:
        pass

    run = queues.default.add("wait")
    with start_worker(concurrency=1):  # so that it does not take its own run over
        assert started.wait(PATIENCE_SECONDS)
        if how == "deleted":
            Run.objects.filter(pk=run.pk).delete()
        elif how == "ended":
            end = {"state": "cancelled", "reason": "cancelled", "lease_until": None, "finished_at": timezone.now()}
            Run.objects.filter(pk=run.pk).update(**end)
        else:
            with transaction.atomic():  # lest a heartbeat come in between
                end_lease(run.id)
                assert reap(engine, "default", crashed)
            engine.claim("default", "default", worker="other:1:a", limit=1, lease_seconds=30)
        wait_until(lambda: ended)
        observer.wait_until_settled(queues.default.add("follow"))

    assert ended == [True]
    assert f"Lease lost: run {run.id} (default.wait)" in caplog.text
    assert "Lease lost, result dropped" in caplog.text
    assert run.id not in observer.settled_ids()


@pytest.mark.postgresql
def test_a_lease_that_is_locked_for_a_while_is_not_lost(
    start_worker: StartWorker,
    observer: Recorder,
    gate: Gate,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The heartbeat passes over a row that somebody else has locked."""
    monkeypatch.setattr(heartbeat, "NOTES_SECONDS", 0.02)
    monkeypatch.setattr(heartbeat, "GONE_SECONDS", 0.05)
    asked: list[bool] = []

    @job
    def wait(run: RunContext) -> None:
        gate.wait_to_pass()
        asked.append(run.cancel_requested)

    run = queues.default.add("wait")
    with start_worker() as worker:
        gate.wait_for_job()
        with transaction.atomic():
            Run.objects.select_for_update().get(pk=run.pk)
            wait_until(lambda: all(lease.missed for lease in worker.worker._leases.all()))
            worker.chores.wait_for_turns(4)
        gate.open()
        observer.wait_until_settled(run)

    assert connection.vendor == "postgresql"
    assert asked == [False]
    assert "Lease lost" not in caplog.text
    run.refresh_from_db()
    assert run.state == "completed"
