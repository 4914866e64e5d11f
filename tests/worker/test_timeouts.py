"""Timeouts: a job is told that its time is over, and one that does not listen is cut off."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

import pytest
from django.db import DatabaseError, connection, connections

from django_jobqueue import Fail, Retry, RunContext, job, queues
from django_jobqueue.conf import JobOptions, timeout_contradictions
from django_jobqueue.errors import AttemptEnded, AttemptTimedOut
from django_jobqueue.jobs import registry
from django_jobqueue.models import Run
from django_jobqueue.worker import statement_timeout
from django_jobqueue.worker.assignment import Assignment
from django_jobqueue.worker.executors import alarms
from django_jobqueue.worker.lock_waits import short_lock_waits
from django_jobqueue.worker.sessions import sessions_with
from tests.worker.bench import PATIENCE_SECONDS, Gate, Recorder, wait_until
from tests.worker.conftest import OnConnect, StartWorker, Work
from tests.worker.moments import took

pytestmark = pytest.mark.django_db(transaction=True)

SOON = 0.2
LATER = {"mode": "fixed", "initial_seconds": 3600}


def ended(run: Run) -> tuple[str, str, int]:
    """Its state, what its last attempt came to, and its failures."""
    run.refresh_from_db()
    return run.state, run.attempts.order_by("number").last().outcome, run.failures  # type: ignore[union-attr]


def wait_for(run: RunContext) -> None:
    """Wait until the time of the attempt is over, as a patient job would."""
    while not run.timed_out:
        threading.Event().wait(0.01)


# Told in time.


def test_a_coroutine_is_cancelled_when_its_time_is_over_and_tried_again(work: Work) -> None:
    cleaned_up = []

    @job(timeout_seconds=SOON, backoff=LATER)
    async def hang() -> None:
        try:
            await asyncio.sleep(PATIENCE_SECONDS)
        finally:
            cleaned_up.append(True)

    run = queues.default.add("hang")

    work()

    assert ended(run) == ("pending", "timed_out", 1)
    assert run.error == "AttemptTimedOut: The attempt took longer than its timeout of 0.2 s."
    assert "in hang" in (run.attempts.get().traceback or "")
    assert cleaned_up == [True]


def test_a_job_in_a_thread_learns_its_deadline_and_that_it_has_passed(work: Work) -> None:
    seen: list[Any] = []

    @job(timeout_seconds=SOON, backoff=LATER)
    def watch(run: RunContext) -> None:
        wait_for(run)
        seen.append((run.deadline, run.timed_out))
        raise InterruptedError("half way")

    run = queues.default.add("watch")

    with took() as moment:
        work()

    assert ended(run) == ("pending", "timed_out", 1)
    assert run.error == "InterruptedError: half way"
    [(deadline, late)] = seen
    assert late
    assert deadline in moment


@pytest.mark.parametrize("is_async", [False, True])
def test_a_job_that_completes_all_the_same_has_completed(work: Work, is_async: bool) -> None:
    @job(timeout_seconds=SOON)
    def patient(run: RunContext) -> str:
        wait_for(run)
        return "done"

    @job(timeout_seconds=SOON)
    async def stubborn() -> str:
        try:
            await asyncio.sleep(PATIENCE_SECONDS)
        except asyncio.CancelledError:
            return "done"
        return "not cancelled"

    run = queues.default.add("stubborn" if is_async else "patient")

    work()

    assert ended(run) == ("completed", "completed", 0)
    assert run.result == "done"


@pytest.mark.parametrize(
    ("error", "state", "outcome"),
    [
        (lambda: ValueError("late"), "pending", "timed_out"),
        (lambda: Retry("later", delay_seconds=3600), "pending", "retried"),
        (lambda: Fail("useless"), "failed", "failed"),
    ],
    ids=["error", "retry", "fail"],
)
def test_what_a_job_says_of_its_run_counts_even_when_its_time_is_over(
    work: Work, error: Callable[[], Exception], state: str, outcome: str
) -> None:
    @job(timeout_seconds=SOON, backoff=LATER, fail_on=[ValueError])
    def speak(run: RunContext) -> None:
        wait_for(run)
        raise error()

    run = queues.default.add("speak")

    work()

    assert ended(run) == (state, outcome, 1)


def test_an_error_in_time_is_no_timeout(work: Work) -> None:
    seen: list[Any] = []

    @job(timeout_seconds=PATIENCE_SECONDS, backoff=LATER)
    def fail(run: RunContext) -> None:
        seen.append((run.deadline, run.timed_out))
        raise TimeoutError("of somebody else")

    run = queues.default.add("fail")

    with took() as moment:
        work()

    assert ended(run) == ("pending", "retried", 1)
    [(deadline, late)] = seen
    assert not late
    assert deadline in moment.and_seconds(PATIENCE_SECONDS)


def test_a_run_whose_last_attempt_times_out_is_dead_lettered(work: Work) -> None:
    @job(timeout_seconds=SOON, max_attempts=1)
    async def hang() -> None:
        await asyncio.sleep(PATIENCE_SECONDS)

    run = queues.default.add("hang")

    work()

    assert ended(run) == ("dead_lettered", "timed_out", 1)
    assert run.reason == "max_attempts"


def test_the_timeout_of_the_run_is_the_one_that_counts(work: Work) -> None:
    @job(timeout_seconds=PATIENCE_SECONDS, hard_timeout_seconds=PATIENCE_SECONDS, backoff=LATER)
    async def hang() -> None:
        await asyncio.sleep(PATIENCE_SECONDS)

    run = queues.default.add("hang", timeout_seconds=SOON)

    work()

    assert ended(run) == ("pending", "timed_out", 1)


def test_the_timeout_of_the_queue_is_the_default_of_its_jobs(work: Work, settings: Any) -> None:
    settings.JOBQUEUE = {"queues": {"default": {"timeout_seconds": SOON, "backoff": LATER}}}

    @job
    async def hang() -> None:
        await asyncio.sleep(PATIENCE_SECONDS)

    run = queues.default.add("hang")

    work()

    assert ended(run) == ("pending", "timed_out", 1)


def test_a_job_without_a_timeout_has_no_deadline(work: Work) -> None:
    @job
    def look(run: RunContext) -> list[Any]:
        return [run.deadline, run.timed_out]

    run = queues.default.add("look")

    work()

    run.refresh_from_db()
    assert run.result == [None, False]


# Cut off.


@pytest.mark.parametrize(
    ("options", "of_run", "soft", "hard"),
    [
        ({}, None, None, None),
        ({"timeout_seconds": 5}, None, 5, 15),
        ({"timeout_seconds": 5, "hard_timeout_seconds": 6}, None, 5, 6),
        ({"timeout_seconds": 5, "hard_timeout_seconds": 6}, 60, 60, 61),
        ({}, 60, 60, 70),
    ],
)
def test_the_hard_timeout_follows_the_other_one(
    options: dict[str, Any], of_run: float | None, soft: float | None, hard: float | None
) -> None:
    @job(**options)
    def work() -> None:
        pass

    queues.default.add("work", timeout_seconds=of_run)
    from django_jobqueue.engines import engine_for

    [claim] = engine_for("default").claim("default", "default", worker="me:1:a", limit=1, lease_seconds=30)
    assignment = Assignment(claim, registry.get("default", "work"))

    assert (assignment.timeout_seconds, assignment.hard_timeout_seconds) == (soft, hard)


def test_an_attempt_in_a_thread_that_does_not_end_is_closed_and_its_late_result_dropped(
    start_worker: StartWorker,
    observer: Recorder,
    gate: Gate,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The clock by which it is cut off goes as soon as it has said something."""
    late: list[Any] = []
    has_spoken = threading.Event()
    monkeypatch.setattr(alarms, "monotonic", lambda: monotonic() if has_spoken.is_set() else 0.0)

    @job(timeout_seconds=0.1, hard_timeout_seconds=SOON, backoff=LATER)
    def hang(run: RunContext) -> str:
        run.progress(1, 2)
        has_spoken.set()
        gate.wait_to_pass()
        late.append(run.cancel_requested)
        try:
            run.progress(2, 2)
        except AttemptEnded:
            late.append("too late")
        return "late"

    @job
    def quick() -> None:
        pass

    run = queues.default.add("hang")
    with start_worker(concurrency=2):
        gate.wait_for_job()
        observer.wait_until_settled(run)
        assert ended(run) == ("pending", "timed_out", 1)
        observer.wait_until_settled(queues.default.add("quick"))  # in the other slot
        gate.open()
        wait_until(lambda: "Result dropped" in caplog.text)

    assert ended(run) == ("pending", "timed_out", 1)
    assert run.error == "The attempt was cut off: it took longer than its hard timeout of 0.2 s."
    assert run.progress == {"done": 1, "total": 2, "message": ""}
    assert observer.settled_ids().count(run.id) == 1
    assert late == [True, "too late"]
    assert "Lease lost" not in caplog.text
    assert f"Run {run.id} (default.hang) goes on after its hard timeout" in caplog.text


def test_a_leaked_slot_is_free_again_when_its_job_returns(
    start_worker: StartWorker, observer: Recorder, gate: Gate, settings: Any
) -> None:
    """Of two slots one leaks, so that two jobs that wait for each other have to wait for its return."""
    together = threading.Barrier(2, timeout=PATIENCE_SECONDS)

    @job(timeout_seconds=0.1, hard_timeout_seconds=0.1, backoff=LATER)
    def hang() -> None:
        gate.wait_to_pass()

    @job
    def meet() -> None:
        together.wait()

    run = queues.default.add("hang")
    with start_worker(concurrency=2):
        observer.wait_until_settled(run)
        meeting = [queues.default.add("meet") for _ in range(2)]
        wait_until(lambda: together.n_waiting == 1)
        assert Run.objects.filter(state="running").count() == 1
        gate.open()
        observer.wait_until_settled(*meeting)

    assert {run.state for run in Run.objects.filter(job="meet")} == {"completed"}


@pytest.mark.parametrize("how", ["swallows", "blocks"])
def test_a_coroutine_that_does_not_end_is_closed_too(
    start_worker: StartWorker, observer: Recorder, gate: Gate, how: str
) -> None:
    @job(timeout_seconds=0.1, hard_timeout_seconds=SOON, backoff=LATER)
    async def hang() -> None:
        if how == "blocks":
            gate.wait_to_pass()  # and with it the event loop
        waiting = asyncio.create_task(asyncio.to_thread(gate.wait_to_pass))
        while not waiting.done():
            with suppress(asyncio.CancelledError):
                await asyncio.shield(waiting)

    run = queues.default.add("hang")
    with start_worker(concurrency=2):
        observer.wait_until_settled(run)
        gate.open()

    assert ended(run) == ("pending", "timed_out", 1)


def test_a_worker_that_has_leaked_too_many_slots_finishes_and_is_to_be_started_anew(
    start_worker: StartWorker, observer: Recorder, gate: Gate, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.JOBQUEUE = {"worker": {"poll_seconds": 0.05, "recycle_after_leaks": 2}}
    beside = Gate()

    @job(timeout_seconds=0.1, hard_timeout_seconds=0.1, backoff=LATER)
    def hang() -> None:
        gate.wait_to_pass()

    @job
    def wait() -> str:
        beside.wait_to_pass()
        return "finished"

    waiting = queues.default.add("wait")
    with start_worker(concurrency=4) as worker:
        beside.wait_for_job()
        hanging = [queues.default.add("hang") for _ in range(2)]
        observer.wait_until_settled(*hanging)
        observer.wait_for(lambda: observer.stops)
        left = queues.default.add("wait")
        beside.open()
        code = worker.wait()

    waiting.refresh_from_db()
    left.refresh_from_db()
    assert code == 75
    assert (waiting.state, waiting.result) == ("completed", "finished")
    assert (left.state, left.attempt) == ("pending", 0)
    assert "2 of 4 slots are taken by attempts that were cut off" in caplog.text


def test_a_worker_without_any_slot_left_is_to_be_started_anew(
    start_worker: StartWorker, observer: Recorder, gate: Gate
) -> None:
    @job(timeout_seconds=0.1, hard_timeout_seconds=0.1, backoff=LATER)
    def hang() -> None:
        gate.wait_to_pass()

    run = queues.default.add("hang")
    with start_worker(concurrency=1) as worker:
        code = worker.wait()

    assert code == 75
    assert ended(run) == ("pending", "timed_out", 1)


# The database is told, too.


@pytest.mark.postgresql
@pytest.mark.parametrize("is_async", [False, True])
def test_a_statement_ends_with_the_time_of_its_attempt(work: Work, is_async: bool) -> None:
    @job(timeout_seconds=SOON, hard_timeout_seconds=PATIENCE_SECONDS, backoff=LATER)
    def query() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(20)")

    @job(timeout_seconds=SOON, hard_timeout_seconds=PATIENCE_SECONDS, backoff=LATER)
    async def query_too() -> None:
        from asgiref.sync import sync_to_async

        await sync_to_async(query.function)()

    run = queues.default.add("query_too" if is_async else "query")

    work()

    assert ended(run) == ("pending", "timed_out", 1)
    if not is_async:  # a coroutine was cancelled as well, whichever came first
        assert "statement timeout" in (run.error or "")


@pytest.mark.postgresql
@pytest.mark.parametrize("own", [0, 30_000, 200_000, 10_800_000])
def test_the_next_attempt_on_the_same_connection_has_all_the_time_that_the_project_gives_it(
    start_worker: StartWorker, observer: Recorder, settings: Any, on_connect: OnConnect, own: int
) -> None:
    def set_own(new: Any) -> None:
        with new.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, false)", [str(own)])

    on_connect(set_own)
    connections["default"].settings_dict["CONN_MAX_AGE"] = None
    told: list[tuple[int, int]] = []

    def look() -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT setting::integer, pg_backend_pid() FROM pg_settings WHERE name = 'statement_timeout'"
            )
            told.append(cursor.fetchone())

    job(name="limited", timeout_seconds=100)(look)
    job(name="free")(look)
    try:
        with start_worker(concurrency=1):
            for name in ("free", "limited", "free"):
                observer.wait_until_settled(queues.default.add(name))
    finally:
        connections["default"].settings_dict["CONN_MAX_AGE"] = 0

    first, limited, last = told
    assert first == last == (own, first[1])
    assert limited[1] == first[1]
    assert limited[0] == own if own == 30_000 else 50_000 < limited[0] <= 100_000


@pytest.mark.postgresql
def test_where_django_has_a_pool_no_session_of_it_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    with connection.cursor() as cursor:
        monkeypatch.setitem(connection.settings_dict["OPTIONS"], "pool", True)
        with sessions_with(short_lock_waits):
            statement_timeout.limit(100)
            cursor.execute("SELECT current_setting('statement_timeout'), current_setting('lock_timeout')")
            statement_timeout.lift()

        assert cursor.fetchone() == ("0", "0")


@pytest.mark.postgresql
def test_where_sessions_are_pooled_none_is_limited(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would go to somebody else with its limit."""

    @job(timeout_seconds=100)
    def look() -> list[str]:
        told = []
        for _ in range(2):  # on a connection that is there, and on a new one
            with connection.cursor() as cursor:
                cursor.execute("SELECT current_setting('statement_timeout')")
                told += [value for (value,) in cursor.fetchall()]
            connection.close()
        return told

    connections.close_all()
    monkeypatch.setitem(connections.settings["default"], "DISABLE_SERVER_SIDE_CURSORS", True)
    runs = [queues.default.add("look") for _ in range(2)]

    work(concurrency=1)

    for run in runs:
        run.refresh_from_db()
    assert [run.result for run in runs] == [["0", "0"], ["0", "0"]]


@pytest.mark.postgresql
def test_a_connection_that_a_job_breaks_does_not_keep_its_timeout(work: Work) -> None:
    @job(timeout_seconds=100, backoff=LATER, max_attempts=1)
    def break_it() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    @job
    def look() -> str:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('statement_timeout')")
            [(value,)] = cursor.fetchall()
        return str(value)

    broken, run = queues.default.add("break_it"), queues.default.add("look", priority=-1)

    work(concurrency=1)

    run.refresh_from_db()
    broken.refresh_from_db()
    assert (broken.state, run.result) == ("dead_lettered", "0")


def test_an_attempt_without_a_timeout_sends_no_statement_of_ours(work: Work, on_connect: OnConnect) -> None:
    statements: list[str] = []

    def watch(connection: Any) -> None:
        def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            if (
                threading.current_thread().name.startswith("jobqueue-")
                and "heartbeat" not in threading.current_thread().name
            ):
                statements.append(sql)
            return execute(sql, params, many, context)

        connection.execute_wrappers.append(note)

    @job
    def count() -> int:
        return Run.objects.count()

    on_connect(watch)
    queues.default.add("count")

    work()

    assert len(statements) == 1


# What makes no sense.


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"hard_timeout_seconds": 5.0}, "hard_timeout_seconds is not read without timeout_seconds"),
        (
            {"timeout_seconds": 5.0, "hard_timeout_seconds": 4.5},
            "hard_timeout_seconds (4.5) is less than timeout_seconds (5)",
        ),
    ],
    ids=["alone", "less"],
)
def test_timeouts_that_contradict_each_other_are_problems_of_the_job(options: dict[str, Any], told: str) -> None:
    @job(**options)
    def work() -> None:
        pass

    assert list(timeout_contradictions(JobOptions(**options))) == [told]
    [problem] = registry.problems()
    assert f"{told}." in problem


def test_the_error_that_a_job_gets_is_a_timeout_error() -> None:
    assert issubclass(AttemptTimedOut, TimeoutError)
    assert not issubclass(AttemptTimedOut, DatabaseError)
