"""What starts, how much of it at once, and in which order."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import pytest
from django.db import transaction

from django_jobqueue import RunContext, job, queues
from django_jobqueue.engines.base import Engine
from django_jobqueue.jobs import registry
from django_jobqueue.models import Run
from django_jobqueue.worker import pace
from django_jobqueue.worker.assignment import Assignment
from django_jobqueue.worker.executors.alarms import Alarms
from django_jobqueue.worker.executors.processes import NOT_STARTED_DELAY_SECONDS
from django_jobqueue.worker.executors.slots import Executors
from django_jobqueue.worker.runner import Ended, Refused
from tests.worker.bench import PATIENCE_SECONDS, Gate, Gauge, Recorder
from tests.worker.conftest import OnConnect, StartWorker, Work
from tests.worker.test_pace import hurried

pytestmark = pytest.mark.django_db(transaction=True)


def first_of_a_claim(engine: Engine) -> str:
    """What an engine asks first, whether there is a run or not."""
    return str(getattr(engine, "LEVEL", None) or engine.CLAIM)  # type: ignore[attr-defined]


@pytest.mark.parametrize("seconds", [0.0, 0.02])
def test_plain_and_coroutine_jobs_share_the_slots_exactly(work: Work, seconds: float) -> None:
    gauge, together = Gauge(), threading.Barrier(2, timeout=PATIENCE_SECONDS)

    @job
    def plain() -> None:
        with gauge:
            time.sleep(seconds)

    @job
    async def coroutine() -> None:
        with gauge:
            await asyncio.sleep(seconds)

    @job
    def meet() -> None:
        with gauge:
            together.wait()

    @job
    async def meet_too() -> None:
        with gauge:
            await asyncio.to_thread(together.wait)

    queues.default.bulk_add([{"job": name} for _ in range(60) for name in ("plain", "coroutine")])
    queues.default.bulk_add([{"job": name} for name in ("meet", "meet_too")])

    work(concurrency=2)

    assert gauge.peak == 2
    assert set(Run.objects.values_list("state", "attempt")) == {("completed", 1)}


def test_all_free_slots_are_filled_at_once(work: Work) -> None:
    together = threading.Barrier(8, timeout=PATIENCE_SECONDS)

    @job(max_attempts=1)
    def meet() -> None:
        together.wait()

    queues.default.bulk_add([{"job": "meet"} for _ in range(16)])

    work(concurrency=8)

    assert set(Run.objects.values_list("state", flat=True)) == {"completed"}


def test_workers_together_never_exceed_the_limit_of_a_queue(
    start_worker: StartWorker, gate: Gate, settings: Any
) -> None:
    """The first three wait for the test, for which neither worker has slots enough; the others come and go."""
    settings.JOBQUEUE = {"worker": {"poll_seconds": 0.02}, "queues": {"default": {"concurrent_jobs": 3}}}
    gauge = Gauge()

    @job
    def count() -> None:
        with gauge:
            gate.wait_to_pass()
            time.sleep(0.02)

    queues.default.bulk_add([{"job": "count"} for _ in range(40)])
    observer = Recorder()

    with (
        start_worker(concurrency=2, observer=observer) as first,
        start_worker(concurrency=2, observer=observer) as second,
    ):
        for _ in range(3):
            gate.wait_for_job()
        for worker in (first, second):
            worker.chores.wait_for_turns(5)
        gate.open()
        observer.wait_for(lambda: len(observer.settled) == 40)
        first.stop()
        second.stop()

    assert gauge.peak == 3
    assert set(Run.objects.values_list("state", "attempt")) == {("completed", 1)}
    assert len(set(Run.objects.values_list("worker", flat=True))) == 2


def test_runs_start_in_the_order_of_their_priority_and_then_of_their_time(work: Work) -> None:
    started = []

    @job
    def note(name: str) -> None:
        started.append(name)

    @job(priority=5)
    def note_early(name: str) -> None:
        started.append(name)

    queues.default.add("note", {"name": "second"})
    queues.default.add("note", {"name": "last"}, priority=-1)
    queues.default.add("note", {"name": "third"})
    queues.default.add("note_early", {"name": "first"})

    work(concurrency=1)

    assert started == ["first", "second", "third", "last"]


def test_a_busy_queue_does_not_starve_another(work: Work, settings: Any) -> None:
    settings.JOBQUEUE = {"worker": {"poll_seconds": 0.02}, "queues": {"busy": {}, "calm": {}}}
    started = []

    def note(run: RunContext) -> None:
        started.append(run.queue)
        time.sleep(0.011)  # long enough that none is claimed ahead

    job(queue="busy")(note)
    job(queue="calm")(note)
    queues.busy.bulk_add([{"job": "note", "priority": 100} for _ in range(30)])
    queues.calm.bulk_add([{"job": "note"} for _ in range(3)])

    work("busy", "calm", concurrency=1)

    assert len(started) == 33
    assert [queue for queue in started[:8] if queue == "calm"] == ["calm"] * 3


def test_only_the_given_queues_are_worked(work: Work, settings: Any) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {}, "reports": {}}}

    def note() -> None:
        pass

    job(queue="mail")(note)
    job(queue="reports")(note)
    mail, report = queues.mail.add("note"), queues.reports.add("note")

    work("mail")

    mail.refresh_from_db()
    report.refresh_from_db()
    assert (mail.state, report.state) == ("completed", "pending")


def test_runs_claimed_ahead_are_handed_back_when_a_slow_one_holds_them_up(
    start_worker: StartWorker, gate: Gate
) -> None:
    @job
    def quick() -> None:
        pass

    @job
    def slow() -> None:
        gate.wait_to_pass()

    slow_run = queues.default.add("slow", priority=1)
    behind = queues.default.bulk_add([{"job": "quick"} for _ in range(5)])
    elsewhere = Recorder()

    with hurried(start_worker(concurrency=1)) as first:
        gate.wait_for_job()
        with start_worker(concurrency=1, observer=elsewhere):
            elsewhere.wait_for(lambda: set(behind) <= set(elsewhere.settled_ids()))
            slow_run.refresh_from_db()
            assert slow_run.state == "running"
            gate.open()
            first.stop()

    slow_run.refresh_from_db()
    assert (slow_run.state, slow_run.attempt) == ("completed", 1)
    handed_back = Run.objects.filter(pk__in=behind)
    assert set(handed_back.values_list("state", "attempt", "releases", "failures", "crashes")) == {
        ("completed", 2, 1, 0, 0)
    }
    assert [run.attempts.count() for run in handed_back] == [1] * 5


def test_runs_claimed_ahead_after_an_idle_time_are_not_handed_back(
    start_worker: StartWorker, observer: Recorder, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "STALLED_SECONDS", 1800.0)

    @job
    def wait() -> None:
        gate.wait_to_pass()

    @job
    def quick() -> None:
        pass

    first = queues.default.add("wait", priority=1)
    runs = [first, *(queues.default.add("quick") for _ in range(5))]
    worker = hurried(start_worker(concurrency=1))
    worker.worker._desk._pace._last_end -= 3600.0

    with worker:
        gate.wait_for_job()
        worker.chores.wait_for_turns(2)
        gate.open()
        observer.wait_until_settled(*runs)

    assert observer.settled_ids() == [run.id for run in runs]
    assert set(Run.objects.values_list("state", "attempt", "releases")) == {("completed", 1, 0)}


def test_a_slot_that_becomes_free_is_filled_in_the_same_transaction(
    start_worker: StartWorker, observer: Recorder, engine: Engine, on_connect: OnConnect
) -> None:
    trades: list[list[str]] = [[]]

    def watch(connection: Any) -> None:
        def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            if threading.current_thread().name.startswith("test-worker-"):
                words = {first_of_a_claim(engine): "claim", engine.SETTLE: "settle"}  # type: ignore[attr-defined]
                words |= {getattr(engine, "CLAIM_BEHIND", None): "claim"}
                word = words.get(sql)
                if word is not None:
                    begins = not trades[-1]
                    if trades[-1][-1:] != [word]:  # a slow claim may be followed by another
                        trades[-1].append(word)
                    if begins:
                        transaction.on_commit(lambda: trades.append([]))
            return execute(sql, params, many, context)

        connection.execute_wrappers.append(note)

    @job
    def take_a_while() -> None:
        time.sleep(0.02)

    on_connect(watch)
    queues.default.bulk_add([{"job": "take_a_while"} for _ in range(4)])

    with start_worker(concurrency=1):
        observer.wait_for(lambda: len(observer.settled) == 4)

    settling = [trade for trade in trades if "settle" in trade]
    assert settling == [["settle", "claim"]] * 4


@contextmanager
def no_new_threads() -> Iterator[None]:
    """Let the system start no thread, for want of memory for its stack."""
    size = threading.stack_size(2**60)
    try:
        yield
    finally:
        threading.stack_size(size)


@pytest.mark.sqlite  # where threads come from asks no database
@pytest.mark.parametrize("name", ["plain", "coroutine", "child"])
def test_an_attempt_for_which_no_thread_can_be_started_is_put_off(
    engine: Engine, caplog: Any, settings: Any, name: str
) -> None:
    settings.JOBQUEUE = {"queues": {"default": {"hard_timeout_seconds": 3600, "timeout_seconds": 3600}}}

    @job
    def plain() -> None:
        pass

    @job
    async def coroutine() -> None:
        pass

    @job(executor="process")
    def child() -> None:
        pass

    queues.default.add(name)
    [claim] = engine.claim("default", "default", worker="me:1:a", limit=1, lease_seconds=30)
    told: SimpleQueue[Ended | Refused] = SimpleQueue()
    executors = Executors(1, lambda _: None, told.put)
    assignment, put_off = Assignment(claim, registry.get("default", name)), Refused(claim, NOT_STARTED_DELAY_SECONDS)

    with no_new_threads():
        executors.prepare(1)
        executors.submit([assignment])
        assert told.get(timeout=PATIENCE_SECONDS) == put_off
    executors.submit([assignment])
    assert told.get(timeout=PATIENCE_SECONDS) != put_off
    executors.close(PATIENCE_SECONDS)

    assert f"Run {claim.id} (default.{name}) is put off: can't start new thread" in caplog.text


def test_an_alarm_for_which_no_thread_can_be_started_rings_with_the_next_one() -> None:
    alarms = Alarms()
    first, second = threading.Event(), threading.Event()

    with no_new_threads():
        alarms.after(0.0, first.set)
    alarms.after(0.0, second.set)
    rang = first.wait(PATIENCE_SECONDS), second.wait(PATIENCE_SECONDS)
    alarms.close()

    assert rang == (True, True)


@pytest.mark.postgresql
@pytest.mark.sqlite
def test_an_idle_worker_looks_no_more_often_than_it_polls(
    start_worker: StartWorker, engine: Engine, on_connect: OnConnect, settings: Any
) -> None:
    settings.JOBQUEUE = {"worker": {"poll_seconds": 60}}
    looks = []

    def watch(connection: Any) -> None:
        def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            if sql == engine.CLAIM:  # type: ignore[attr-defined]
                looks.append(1)
            return execute(sql, params, many, context)

        connection.execute_wrappers.append(note)

    on_connect(watch)

    with start_worker() as worker:
        worker.chores.wait_for_turns(4)

    assert 1 <= len(looks) <= 2  # its own, and one when its listener begins to hear, whenever that is


def test_a_future_run_starts_when_it_is_due_even_where_the_poll_is_rare(
    start_worker: StartWorker, observer: Recorder, settings: Any
) -> None:
    settings.JOBQUEUE = {"worker": {"poll_seconds": 60}}

    @job
    def note() -> None:
        pass

    run = queues.default.add("note", delay_seconds=0.3)

    with start_worker():
        observer.wait_until_settled(run)

    attempt = run.attempts.get()
    assert run.run_at <= attempt.started_at
