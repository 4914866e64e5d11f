"""How a worker ends: within its grace, with every run accounted for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeAlias

import pytest
from django.db import DataError, OperationalError, connection, connections, transaction

from django_jobqueue import RunContext, job, queues
from django_jobqueue.engines.base import Engine
from django_jobqueue.models import Run
from django_jobqueue.models import Worker as WorkerRow
from django_jobqueue.worker import desk, heartbeat, lock_waits, pace, shutdown
from django_jobqueue.worker import worker as rules
from django_jobqueue.worker.runner import Ended
from django_jobqueue.worker.shutdown import Shutdown
from tests.worker.bench import PATIENCE_SECONDS, Gate, Recorder, join_threads, wait_until
from tests.worker.conftest import AroundStatements, OnConnect, StartWorker
from tests.worker.test_leases import CLAIMS
from tests.worker.test_pace import hurried

BreakConnection: TypeAlias = Callable[..., list[str]]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def waiting_job(gate: Gate) -> None:
    """A job that waits at the gate, and one that does not."""

    @job
    def wait() -> str:
        gate.wait_to_pass()
        return "done"

    @job
    def note() -> None:
        pass


def test_an_idle_worker_stops_at_once(start_worker: StartWorker, settings: Any) -> None:
    settings.JOBQUEUE = {"worker": {"poll_seconds": 60}}

    with start_worker(grace_seconds=3600) as worker:
        worker.chores.wait_for_turns(1)
        exit_code = worker.stop()

    assert exit_code == 0


def test_a_worker_that_is_stopped_before_it_began_claims_nothing(start_worker: StartWorker) -> None:
    run = queues.default.add("note")
    worker = start_worker()
    worker.worker.stop()

    with worker:
        exit_code = worker.wait()

    run.refresh_from_db()
    assert (exit_code, run.state, run.attempt) == (0, "pending", 0)


def test_a_busy_worker_finishes_what_it_began_and_begins_nothing_new(
    start_worker: StartWorker, observer: Recorder, gate: Gate
) -> None:
    running = queues.default.add("wait")
    with start_worker(concurrency=2) as worker:
        gate.wait_for_job()
        worker.worker.stop()
        observer.wait_for(lambda: observer.stops)
        waiting = queues.default.add("note")
        worker.chores.wait_for_turns(2)
        gate.open()
        exit_code = worker.wait()

    running.refresh_from_db()
    waiting.refresh_from_db()
    assert exit_code == 0
    assert observer.stops == [1]
    assert (running.state, running.result, running.releases) == ("completed", "done", 0)
    assert (waiting.state, waiting.attempt) == ("pending", 0)


def test_runs_claimed_ahead_are_handed_back_when_the_worker_stops(
    start_worker: StartWorker, observer: Recorder, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "STALLED_SECONDS", 3600.0)  # that would be a reason, too
    running = queues.default.add("wait", priority=1)
    behind = queues.default.bulk_add([{"job": "note"} for _ in range(20)])
    due_at = Run.objects.get(pk=behind[0]).run_at

    with hurried(start_worker(concurrency=1)) as worker:
        gate.wait_for_job()
        worker.worker.stop()
        observer.wait_for(lambda: observer.stops)
        wait_until(lambda: not Run.objects.in_state("running").filter(pk__in=behind).exists())
        handed_back = set(Run.objects.filter(pk__in=behind).values_list("state", "releases", "failures", "crashes"))
        gate.open()
        exit_code = worker.wait()

    running.refresh_from_db()
    assert exit_code == 0
    assert handed_back == {("pending", 1, 0, 0)}
    assert running.state == "completed"
    assert observer.stops == [1]
    assert set(Run.objects.filter(pk__in=behind).values_list("run_at", flat=True)) == {due_at}, "they lost their place"
    assert not Run.objects.filter(pk__in=behind, attempts__isnull=False).exists()


def test_what_outlasts_the_grace_is_handed_back_and_may_start_again_at_once(
    start_worker: StartWorker, gate: Gate, observer: Recorder
) -> None:
    run = queues.default.add("wait", max_attempts=1)
    due_at = run.run_at
    with start_worker(grace_seconds=0.1) as worker:
        gate.wait_for_job()
        exit_code = worker.stop()

    run.refresh_from_db()
    assert exit_code == 0
    assert (run.state, run.reason, run.lease_until) == ("pending", None, None)
    assert (run.attempt, run.releases, run.failures, run.crashes) == (1, 1, 0, 0)
    assert run.run_at == due_at, "it has lost its place in the line"
    attempt = run.attempts.get()
    assert (attempt.outcome, attempt.error) == ("released", "The worker was stopped before the job had ended.")

    gate.open()
    with start_worker(drain=True) as successor:
        successor.wait()

    run.refresh_from_db()
    assert (run.state, run.attempt, run.error) == ("completed", 2, None)


def test_the_late_end_of_a_job_that_was_handed_back_changes_nothing(start_worker: StartWorker, gate: Gate) -> None:
    run = queues.default.add("wait")
    with start_worker(grace_seconds=0) as worker:
        gate.wait_for_job()
        worker.stop()

    gate.open()
    join_threads()

    run.refresh_from_db()
    assert (run.state, run.result) == ("pending", None)


def test_an_at_most_once_run_that_outlasts_the_grace_is_lost(start_worker: StartWorker, gate: Gate) -> None:
    @job(delivery="at_most_once")
    def pay() -> None:
        gate.wait_to_pass()

    run = queues.default.add("pay")
    with start_worker(grace_seconds=0) as worker:
        gate.wait_for_job()
        exit_code = worker.stop()

    run.refresh_from_db()
    assert exit_code == 0
    assert (run.state, run.reason, run.releases) == ("dead_lettered", "lost", 1)
    assert run.attempts.get().outcome == "released"


def test_an_at_most_once_run_that_was_only_claimed_is_not_lost(
    start_worker: StartWorker, observer: Recorder, gate: Gate
) -> None:
    paid = []

    @job(delivery="at_most_once")
    def pay(run: RunContext) -> None:
        paid.append(run.id)

    queues.default.add("wait", priority=1)
    payments = queues.default.bulk_add([{"job": "pay"} for _ in range(10)])
    with hurried(start_worker(concurrency=1)) as worker:
        gate.wait_for_job()
        worker.worker.stop()
        observer.wait_for(lambda: observer.stops)
        gate.open()
        worker.wait()

    with start_worker(drain=True) as successor:
        successor.wait()

    assert sorted(paid) == sorted(payments)
    assert set(Run.objects.filter(pk__in=payments).values_list("state", "releases")) == {("completed", 1)}


def test_a_second_request_to_stop_hands_everything_back_at_once(start_worker: StartWorker, gate: Gate) -> None:
    run = queues.default.add("wait")
    with start_worker(grace_seconds=3600) as worker:
        gate.wait_for_job()
        worker.worker.stop()
        exit_code = worker.stop()

    run.refresh_from_db()
    assert exit_code == 3
    assert (run.state, run.releases) == ("pending", 1)
    assert run.attempts.get().outcome == "released"


def test_leases_are_renewed_until_the_last_job_of_a_stopping_worker_has_ended(
    start_worker: StartWorker, observer: Recorder, gate: Gate, quick_heartbeat: None
) -> None:
    run = queues.default.add("wait")
    elsewhere = Recorder()

    with start_worker() as worker:
        gate.wait_for_job()
        with start_worker(observer=elsewhere):
            worker.worker.stop()
            observer.wait_for(lambda: observer.stops)
            lease_until = Run.objects.get(pk=run.pk).lease_until
            wait_until(lambda: Run.objects.filter(pk=run.pk, lease_until__gt=lease_until).exists())
            gate.open()
            exit_code = worker.wait()

    run.refresh_from_db()
    assert exit_code == 0
    assert elsewhere.lost == []
    assert (run.state, run.attempt, run.crashes, run.result) == ("completed", 1, 0, "done")


def test_a_stopping_worker_still_settles_retries_and_dead_letters(
    start_worker: StartWorker, observer: Recorder, gate: Gate
) -> None:
    @job(max_attempts=2, backoff={"mode": "fixed", "initial_seconds": 0})
    def fall() -> None:
        gate.wait_to_pass()
        raise ValueError("no")

    run = queues.default.add("fall")
    with start_worker() as worker:
        gate.wait_for_job()
        worker.worker.stop()
        observer.wait_for(lambda: observer.stops)
        gate.open()
        exit_code = worker.wait()

    run.refresh_from_db()
    assert exit_code == 0
    assert (run.state, run.attempt, run.failures) == ("pending", 1, 1)


def test_a_worker_ends_though_its_heartbeat_waits_for_a_database_that_does_not_answer(
    start_worker: StartWorker, on_connect: OnConnect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "LAST_SECONDS", 0.1)
    answered = threading.Event()
    beating: SimpleQueue[threading.Thread] = SimpleQueue()

    def hang(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        beating.put(threading.current_thread())
        assert answered.wait(PATIENCE_SECONDS)
        return execute(sql, params, many, context)

    def watch(connection: Any) -> None:
        if threading.current_thread().name == "jobqueue-heartbeat":
            connection.execute_wrappers.append(hang)

    on_connect(watch)
    with start_worker() as worker:
        thread = beating.get(timeout=PATIENCE_SECONDS)
        exit_code = worker.stop()
    still_waits = thread.is_alive()
    answered.set()
    thread.join(PATIENCE_SECONDS)

    assert (exit_code, still_waits) == (0, True)


def test_a_worker_ends_though_a_connection_of_an_idle_thread_cannot_be_closed(
    start_worker: StartWorker, observer: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "CLOSE_SECONDS", 0.1)
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", None)
    answered = threading.Event()
    idle: SimpleQueue[threading.Thread] = SimpleQueue()

    @job
    def connect() -> None:
        idle.put(threading.current_thread())
        Run.objects.count()
        close = connection._close  # type: ignore[attr-defined]  # the stubs lack it

        def hang() -> None:
            assert answered.wait(PATIENCE_SECONDS)
            close()

        connection._close = hang  # type: ignore[attr-defined]

    run = queues.default.add("connect")
    with start_worker() as worker:
        observer.wait_until_settled(run)
        exit_code = worker.stop()
    thread = idle.get_nowait()
    still_waits = thread.is_alive()
    answered.set()
    thread.join(PATIENCE_SECONDS)

    assert (exit_code, still_waits) == (0, True)


def test_a_worker_that_waits_for_a_database_that_does_not_answer_is_broken_off_after_its_grace(
    start_worker: StartWorker,
    around_statements: AroundStatements,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: Any,
) -> None:
    settings.JOBQUEUE = {"worker": {"lease_seconds": 1}}
    monkeypatch.setattr(shutdown, "STUCK_SECONDS", 0.1)
    asked, answered = threading.Event(), threading.Event()
    broken_off = threading.Semaphore(0)

    def hang(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        asked.set()
        assert answered.wait(PATIENCE_SECONDS)
        return execute(sql, params, many, context)

    around_statements(hang)
    with start_worker(grace_seconds=0, break_off=broken_off.release) as worker:
        assert asked.wait(PATIENCE_SECONDS)
        assert not broken_off.acquire(timeout=0.2)
        worker.worker.stop()
        assert broken_off.acquire(timeout=PATIENCE_SECONDS)
        assert not broken_off.acquire(timeout=0.2)
        answered.set()

    assert "The database keeps this worker from coming to its end." in caplog.text


def test_a_worker_that_stood_still_beyond_its_grace_gets_its_time_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    now, broken_off_at = 0.0, []
    monkeypatch.setattr(shutdown, "monotonic", lambda: now)
    stop = Shutdown(5.0, lambda: broken_off_at.append(now))
    stop.ask()

    for now in (1.0, 4.5, 5.5, 60.0, 61.0, 61.25, 61.75, 62.0):  # noqa: B007  # it is the clock
        stop.look()

    assert broken_off_at == [61.75]


def test_an_error_of_our_own_ends_a_worker_and_costs_its_runs_nothing(
    start_worker: StartWorker, gate: Gate, around_statements: AroundStatements
) -> None:
    claims = []

    def fail_at_the_second(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        answer = execute(sql, params, many, context)
        if CLAIMS.search(sql) and context["cursor"].rowcount:
            claims.append(sql)
            if len(claims) == 2:
                raise DataError("no such claim")
        return answer

    def work() -> None:
        with start_worker(concurrency=2) as worker:
            gate.wait_for_job()
            queues.default.add("note")
            worker.wait()

    around_statements(fail_at_the_second)
    running = queues.default.add("wait")
    with pytest.raises(DataError, match="no such claim"):
        work()

    running.refresh_from_db()
    assert (running.state, running.attempt, running.crashes, running.releases) == ("pending", 1, 0, 1)
    wait_until(lambda: not WorkerRow.objects.exists())


@pytest.fixture
def break_connection(around_statements: AroundStatements) -> BreakConnection:
    """Break the connection over which a worker is about to settle, once, after *meanwhile*; tell of the statement."""

    def break_connection(meanwhile: Callable[[], object] = lambda: None) -> list[str]:
        broken: list[str] = []

        def fail_once(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            if "failures = " in sql and not broken:
                broken.append(sql)
                meanwhile()
                raise OperationalError("the connection broke")
            return execute(sql, params, many, context)

        around_statements(fail_once)
        return broken

    return break_connection


@pytest.fixture
def end_job(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Open the gate, and wait until a worker was told that an attempt has ended."""
    has_ended = threading.Event()

    class Inbox(SimpleQueue[Any]):
        def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
            super().put(item)
            if isinstance(item, Ended):
                has_ended.set()

    def end_job() -> None:
        gate.open()
        assert has_ended.wait(PATIENCE_SECONDS)

    monkeypatch.setattr(desk, "SimpleQueue", Inbox)
    return end_job


def test_a_worker_that_is_stopped_tries_again_to_account_for_its_runs(
    start_worker: StartWorker, gate: Gate, break_connection: BreakConnection
) -> None:
    """As where the database was started anew just before, and no connection is any good."""
    broken = break_connection()
    run = queues.default.add("wait")
    with start_worker(grace_seconds=0) as worker:
        gate.wait_for_job()
        exit_code = worker.stop()

    run.refresh_from_db()
    assert (exit_code, len(broken)) == (0, 1)
    assert (run.state, run.attempt, run.crashes, run.releases) == ("pending", 1, 0, 1)


def test_what_ends_while_a_worker_tries_to_account_for_its_runs_is_not_handed_back(
    start_worker: StartWorker, gate: Gate, break_connection: BreakConnection, end_job: Callable[[], None]
) -> None:
    break_connection(end_job)
    run = queues.default.add("wait")
    with start_worker(grace_seconds=0) as worker:
        gate.wait_for_job()
        exit_code = worker.stop()

    run.refresh_from_db()
    assert (exit_code, run.state, run.attempt, run.result) == (0, "completed", 1, "done")


@pytest.mark.postgresql
def test_a_run_that_somebody_has_locked_keeps_no_worker_from_coming_to_its_end(
    start_worker: StartWorker, gate: Gate, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr(rules, "LAST_TRIES_SECONDS", 0.0)
    locked, other = queues.default.add("wait"), queues.default.add("wait")
    with start_worker(concurrency=2, grace_seconds=0) as worker:
        gate.wait_for_job()
        gate.wait_for_job()
        with transaction.atomic():
            Run.objects.select_for_update().get(pk=locked.pk)
            exit_code = worker.stop()

    for run in (locked, other):
        run.refresh_from_db()
    assert exit_code == 3
    assert (other.state, other.releases, locked.state) == ("pending", 1, "running")
    assert "1 runs are left to the reapers." in caplog.text


@pytest.mark.postgresql
def test_a_run_that_somebody_has_locked_for_a_moment_is_handed_back_after_all_others(
    start_worker: StartWorker, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_waits, "LONGEST_SECONDS", 2 * PATIENCE_SECONDS)
    monkeypatch.setattr(rules, "LAST_TRIES_SECONDS", PATIENCE_SECONDS)
    locked, other = queues.default.add("wait"), queues.default.add("wait")
    with start_worker(concurrency=2, grace_seconds=0) as worker:
        gate.wait_for_job()
        gate.wait_for_job()
        with transaction.atomic():
            Run.objects.select_for_update().get(pk=locked.pk)
            worker.worker.stop()
            wait_until(Run.objects.filter(pk=other.pk, state="pending").exists)
        exit_code = worker.wait()

    assert exit_code == 0
    assert list(Run.objects.values_list("state", "releases", "crashes")) == [("pending", 1, 0)] * 2


@pytest.mark.postgresql
def test_a_result_that_cannot_be_written_because_somebody_has_locked_its_run_is_not_handed_back(
    start_worker: StartWorker,
    gate: Gate,
    engine: Engine,
    around_statements: AroundStatements,
    end_job: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The lock ends at the worst moment: the worker has just seen it, and goes on to hand back what still runs."""
    monkeypatch.setattr(rules, "LAST_TRIES_SECONDS", PATIENCE_SECONDS)
    unlock, unlocked = threading.Event(), threading.Event()
    looks: list[str] = []

    def look(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        answer = execute(sql, params, many, context)
        if sql == engine.HOLD_FREE:  # type: ignore[attr-defined]
            looks.append(sql)
            if len(looks) == 1:
                end_job()
            elif len(looks) == 2:
                unlock.set()
                assert unlocked.wait(PATIENCE_SECONDS)
        return answer

    around_statements(look)
    run = queues.default.add("wait")
    with start_worker(grace_seconds=0) as worker:
        gate.wait_for_job()
        with transaction.atomic():
            Run.objects.select_for_update().get(pk=run.pk)
            worker.worker.stop()
            assert unlock.wait(PATIENCE_SECONDS)
        unlocked.set()
        exit_code = worker.wait()

    run.refresh_from_db()
    assert (exit_code, run.state, run.attempt, run.result) == (0, "completed", 1, "done")


@pytest.mark.postgresql
def test_a_run_that_has_not_started_is_not_handed_back_as_if_it_had(
    start_worker: StartWorker,
    gate: Gate,
    engine: Engine,
    around_statements: AroundStatements,
    monkeypatch: pytest.MonkeyPatch,
    caplog: Any,
) -> None:
    """Its job has put it back, and somebody has locked it. The lock ends when the worker has seen it for the last time."""
    monkeypatch.setattr(lock_waits, "LONGEST_SECONDS", 0.05)
    monkeypatch.setattr(rules, "LAST_TRIES_SECONDS", PATIENCE_SECONDS)
    unlock, unlocked = threading.Event(), threading.Event()

    def not_now(payload: Any, run: RunContext) -> bool:
        gate.wait_to_pass()
        return False

    def look(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        answer = execute(sql, params, many, context)
        leaves = worker.worker._executors._processes._killed
        if sql == engine.HOLD_FREE and leaves and not unlock.is_set():  # type: ignore[attr-defined]
            unlock.set()
            assert unlocked.wait(PATIENCE_SECONDS)
        return answer

    @job(delivery="at_most_once", preflight={"okay_to_run": not_now})
    def note_once() -> None:
        pass

    around_statements(look)
    run = queues.default.add("note_once")
    worker = start_worker(grace_seconds=0)
    with worker:
        gate.wait_for_job()
        with transaction.atomic():
            Run.objects.select_for_update().get(pk=run.pk)
            gate.open()
            wait_until(lambda: "Somebody keeps a run or a queue locked" in caplog.text)
            worker.worker.stop()
            assert unlock.wait(PATIENCE_SECONDS)
        unlocked.set()
        exit_code = worker.wait()

    run.refresh_from_db()
    assert (exit_code, run.state, run.releases, run.attempts.count()) == (0, "pending", 1, 0)
