"""Coroutine jobs: side by side on one event loop, none in the way of another."""

from __future__ import annotations

import asyncio
import sys
import threading
from types import FrameType
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, transaction

from django_jobqueue import RunContext, job, queues
from django_jobqueue.models import Run
from django_jobqueue.worker import watchdog
from django_jobqueue.worker.executors import loop_watch
from tests.worker.bench import PATIENCE_SECONDS, Gate, Recorder, wait_until
from tests.worker.conftest import OnConnect, StartWorker, Work

pytestmark = pytest.mark.django_db(transaction=True)


def is_open(raw: Any) -> bool:
    """Whether a connection of psycopg, mysqlclient, PyMySQL or sqlite3 is open."""
    if hasattr(raw, "closed"):
        return not raw.closed
    if hasattr(raw, "open"):
        return bool(raw.open)
    try:
        raw.cursor()
    except Exception:
        return False
    return True


def test_the_result_of_a_coroutine_is_the_result(work: Work) -> None:
    @job
    async def add_up(a: int, b: int) -> int:
        await asyncio.sleep(0)
        return a + b

    run = queues.default.add("add_up", {"a": 2, "b": 3})

    work()

    run.refresh_from_db()
    assert (run.state, run.result) == ("completed", 5)


def test_a_coroutine_may_take_the_context(work: Work) -> None:
    @job
    async def look(*, run: RunContext) -> list[int]:
        return [run.id, run.attempt]

    run = queues.default.add("look")

    work()

    run.refresh_from_db()
    assert run.result == [run.id, 1]


def test_coroutines_run_side_by_side_on_one_loop(work: Work) -> None:
    threads = set()
    inside = 0
    all_inside = asyncio.Event()

    @job(max_attempts=1)
    async def meet() -> None:
        nonlocal inside
        threads.add(threading.get_ident())
        inside += 1
        if inside == 5:
            all_inside.set()
        await asyncio.wait_for(all_inside.wait(), 30)

    queues.default.bulk_add([{"job": "meet"} for _ in range(5)])

    work(concurrency=5)

    assert set(Run.objects.values_list("state", flat=True)) == {"completed"}
    assert len(threads) == 1
    assert threading.main_thread().ident not in threads


def test_an_exit_in_a_task_of_a_job_fails_this_job_only(start_worker: StartWorker, observer: Recorder) -> None:
    beside = asyncio.Event()
    started = threading.Event()

    async def leave() -> None:
        sys.exit(3)

    @job(max_attempts=1)
    async def exits() -> None:
        await asyncio.create_task(leave())

    @job
    async def waits() -> str:
        started.set()
        await asyncio.wait_for(beside.wait(), 30)
        return "still here"

    @job
    async def lets_go() -> None:
        beside.set()

    waiting = queues.default.add("waits")
    with start_worker(concurrency=3):
        assert started.wait(30)
        exiting = queues.default.add("exits")
        observer.wait_until_settled(exiting)
        following = queues.default.add("lets_go")
        observer.wait_until_settled(waiting, following)

    exiting.refresh_from_db()
    waiting.refresh_from_db()
    assert (exiting.state, exiting.error) == ("dead_lettered", "SystemExit: 3")
    assert (waiting.state, waiting.result) == ("completed", "still here")


def test_a_job_that_cancels_all_tasks_loses_no_run_that_has_not_begun(work: Work) -> None:
    @job(priority=2)
    async def hold_up() -> None:
        loop = asyncio.get_running_loop()
        wait_until(lambda: len(loop._ready) >= 2)  # type: ignore[attr-defined]  # the two others

    @job(priority=1)
    async def cancel_all() -> None:
        for task in asyncio.all_tasks():
            task.cancel()

    @job(max_attempts=1)
    async def innocent() -> None:
        await asyncio.sleep(0)

    for name in ("innocent", "cancel_all", "hold_up"):
        queues.default.add(name)

    work(concurrency=3)

    assert set(Run.objects.values_list("state", "attempt")) == {("completed", 1)}


@pytest.mark.parametrize("with_database", [False, True])
def test_a_job_that_cancels_itself_ends_like_any_other(work: Work, with_database: bool) -> None:
    @job(max_attempts=1)
    async def give_up() -> None:
        if with_database:
            await Run.objects.acount()
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    @job(max_attempts=1)
    async def fall() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(30)

    ended = queues.default.add("give_up")
    fallen = queues.default.add("fall")

    work(concurrency=1)

    ended.refresh_from_db()
    fallen.refresh_from_db()
    assert ended.state in {"completed", "dead_lettered"}
    assert (fallen.state, fallen.error) == ("dead_lettered", "CancelledError")


def test_the_orm_works_in_coroutines_and_leaves_no_connection_behind(work: Work, on_connect: OnConnect) -> None:
    made: list[Any] = []
    on_connect(lambda connection: made.append(connection.connection))

    def count_in_transaction() -> int:
        with transaction.atomic():
            return Run.objects.count()

    @job
    async def count() -> list[int]:
        plain = await Run.objects.acount()
        return [plain, await sync_to_async(count_in_transaction)()]

    @job
    def count_too() -> int:
        return Run.objects.count()

    queues.default.bulk_add([{"job": name} for name in ("count", "count_too") for _ in range(5)])

    work(concurrency=3)

    assert [run.result for run in Run.objects.filter(job="count")] == [[10, 10]] * 5
    assert set(Run.objects.values_list("state", flat=True)) == {"completed"}
    assert len(made) > 5
    wait_until(lambda: not [raw for raw in made if is_open(raw) and raw is not connection.connection])


def test_a_connection_of_a_coroutine_is_closed_when_its_job_ends(
    start_worker: StartWorker, observer: Recorder, on_connect: OnConnect
) -> None:
    made: list[Any] = []
    on_connect(lambda connection: made.append((threading.current_thread().name, connection.connection)))

    @job
    async def count() -> int:
        return await Run.objects.acount()

    with start_worker() as worker:
        for _ in range(3):
            observer.wait_until_settled(queues.default.add("count"))
        worker.chores.wait_for_turns(1)
        own = (
            "jobqueue-heartbeat",
            "jobqueue-listener",
            f"test-worker-{worker.worker.name}",
            threading.current_thread().name,
        )
        of_jobs = [raw for name, raw in made if name not in own]
        open_while_idle = [raw for raw in of_jobs if is_open(raw)]

    assert len(of_jobs) == 3
    assert open_while_idle == []


def test_a_coroutine_that_is_cancelled_at_its_end_leaves_no_connection_behind(
    start_worker: StartWorker, observer: Recorder, gate: Gate, on_connect: OnConnect
) -> None:
    """Whatever then still keeps its thread busy."""
    made: list[Any] = []
    kept: list[asyncio.Task[None]] = []
    ends = threading.Event()
    on_connect(lambda connection: made.append((threading.current_thread().name, connection.connection)))

    @job
    async def leave() -> None:
        await Run.objects.acount()
        kept.append(asyncio.create_task(sync_to_async(gate.wait_to_pass)()))
        await asyncio.to_thread(gate.wait_for_job)
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        asyncio.get_running_loop().call_later(0.1, ends.set)  # when the closing waits for the thread

    run = queues.default.add("leave")
    with start_worker():
        assert ends.wait(PATIENCE_SECONDS)
        gate.open()
        observer.wait_until_settled(run)

    [raw] = [raw for name, raw in made if name.startswith("ThreadPoolExecutor")]
    assert not is_open(raw)


def test_a_coroutine_that_never_ends_is_handed_back_when_the_worker_stops(
    start_worker: StartWorker, observer: Recorder, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    @job
    async def wait() -> None:
        await asyncio.to_thread(gate.wait_to_pass)

    run = queues.default.add("wait")
    with start_worker(grace_seconds=0) as worker:
        gate.wait_for_job()
        exit_code = worker.stop()

    run.refresh_from_db()
    assert (exit_code, run.state, run.releases) == (0, "pending", 1)


def test_what_a_coroutine_leaves_behind_keeps_no_worker_from_its_end(
    start_worker: StartWorker, observer: Recorder, gate: Gate
) -> None:
    tasks: list[asyncio.Task[None]] = []

    async def block() -> None:
        while not observer.settled:
            await asyncio.sleep(0.01)
        gate.wait_to_pass()

    @job
    async def leave_behind() -> None:
        tasks.append(asyncio.create_task(block()))

    queues.default.add("leave_behind")
    with start_worker(grace_seconds=0) as worker:
        gate.wait_for_job()
        assert worker.stop() == 0


def test_a_loop_is_told_of_once_each_time_that_it_is_blocked(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loop_watch, "BLOCKED_SECONDS", 0)
    loop = asyncio.new_event_loop()
    watch = loop_watch.LoopWatch(loop, threading.current_thread(), {})

    for times in (1, 2):
        for _ in range(4):
            watch.look()
        assert caplog.text.count("The event loop has been blocked") == times
        loop.run_until_complete(asyncio.sleep(0))
    loop.close()


@pytest.mark.usefixtures("quick_heartbeat")
def test_a_coroutine_that_blocks_the_loop_is_named_and_keeps_its_lease(
    start_worker: StartWorker, gate: Gate, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "LONGEST_SECONDS", 0.05)
    monkeypatch.setattr(loop_watch, "BLOCKED_SECONDS", 3600.0)

    @job
    async def block(run: RunContext) -> int:
        gate.wait_to_pass()
        return run.attempt

    @job
    async def wait() -> None:
        await asyncio.sleep(0)

    others = [queues.default.add("wait") for _ in range(3)]
    run = queues.default.add("block")
    with start_worker(), start_worker(observer=Recorder()):
        gate.wait_for_job()
        wait_until(lambda: any(map(waits_at_a_gate, sys._current_frames().values())))
        [lease] = Run.objects.filter(pk=run.pk).values_list("lease_until", flat=True)
        monkeypatch.setattr(loop_watch, "BLOCKED_SECONDS", 0.0)
        wait_until(lambda: f"by run {run.id} " in caplog.text)
        wait_until(Run.objects.filter(pk=run.pk, lease_until__gt=lease).exists)
        monkeypatch.setattr(loop_watch, "BLOCKED_SECONDS", 3600.0)
        gate.open()
        wait_until(lambda: Run.objects.in_state("completed").count() == 4)

    run.refresh_from_db()
    assert (run.state, run.result, run.crashes) == ("completed", 1, 0)
    assert {other.state for other in others} == {"pending"}  # as they were added
    [told] = [text for record in caplog.records if f"by run {run.id} " in (text := record.getMessage())]
    assert f"The event loop has been blocked for 0 s by run {run.id} (default.block)" in told
    assert "threading.py" in told


def waits_at_a_gate(frame: FrameType | None) -> bool:
    """Whether a thread does that is at *frame*; one that has reached the gate may be late."""
    called = ""
    while frame is not None and frame.f_code is not Gate.wait_to_pass.__code__:
        called, frame = frame.f_code.co_name, frame.f_back
    return frame is not None and called == "wait"
