"""Connections that break or are left in a state: no run suffers from it, and no other job."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from functools import partial
from typing import Any

import pytest
from django.db import InterfaceError, InternalError, OperationalError, connection, connections, transaction

from django_jobqueue import RunContext, job, queues
from django_jobqueue.models import Run, Worker
from tests.worker.bench import Gate, Recorder, wait_until
from tests.worker.conftest import OnConnect, StartWorker, Work
from tests.worker.test_async import is_open

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=[0, None, 600], ids=["no reuse", "reuse for ever", "reuse for a while"])
def reuse(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Django keep connections or not."""
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", request.param)


def terminate_all_others() -> int:
    """End all sessions of the database but this one, and return how many those were."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        [count] = cursor.fetchone()
    return int(count)


def terminate_own() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")


def leave_transaction_open() -> None:
    transaction.atomic().__enter__()
    Run.objects.update(tenant="of the forgotten transaction")


def turn_autocommit_off() -> None:
    transaction.set_autocommit(False)
    Run.objects.update(tenant="of the forgotten transaction")


def close_connection() -> None:
    Run.objects.count()
    connection.close()


def break_connection() -> None:
    Run.objects.count()
    connection.connection.close()


def break_transaction() -> None:
    transaction.atomic().__enter__()
    transaction.set_rollback(True)


def fail_in_sql() -> None:
    transaction.atomic().__enter__()
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM no_such_table")


MISCHIEF = {
    "leaves a transaction open": leave_transaction_open,
    "turns autocommit off": turn_autocommit_off,
    "closes its connection": close_connection,
    "breaks its connection": pytest.param(break_connection, marks=pytest.mark.postgresql),
    "leaves a transaction that cannot go on": break_transaction,
    "fails in a transaction that it leaves open": fail_in_sql,
    "ends its session": pytest.param(terminate_own, marks=pytest.mark.postgresql),
}


@pytest.mark.usefixtures("reuse")
@pytest.mark.parametrize("do_mischief", MISCHIEF.values(), ids=MISCHIEF)
def test_a_job_that_harms_its_connection_harms_no_other(work: Work, do_mischief: Any) -> None:
    threads = set()

    @job(max_attempts=1)
    def be_bad() -> None:
        threads.add(threading.get_ident())
        do_mischief()

    @job(max_attempts=1)
    def be_good() -> list[int]:
        threads.add(threading.get_ident())
        with transaction.atomic():
            return [Run.objects.count(), Run.objects.filter(tenant__isnull=False).count()]

    bad = queues.default.add("be_bad", priority=1)
    good = [queues.default.add("be_good") for _ in range(2)]

    work(concurrency=1)

    bad.refresh_from_db()
    assert bad.state in {"completed", "dead_lettered"}
    for run in good:
        run.refresh_from_db()
        assert (run.state, run.attempt, run.result) == ("completed", 1, [3, 0])
    assert len(threads) == 1


def test_a_connection_that_became_too_old_while_nothing_ran_is_not_used_again(
    start_worker: StartWorker, observer: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", 600)
    used: list[Any] = []

    @job
    def count() -> int:
        used.append((connections["default"], connections["default"].connection))
        return Run.objects.count()

    with start_worker(concurrency=1):
        observer.wait_until_settled(queues.default.add("count"))
        observer.wait_until_settled(queues.default.add("count"))
        used[1][0].close_at = 0.0
        observer.wait_until_settled(queues.default.add("count"))

    (_, first), (_, second), (_, third) = used
    assert first is None
    assert second is not None
    assert third is None


def test_the_queries_that_django_keeps_for_debugging_are_those_of_one_attempt(work: Work, settings: Any) -> None:
    settings.DEBUG = True
    kept: list[int] = []

    @job
    def count() -> None:
        Run.objects.count()
        kept.append(len(connection.queries))

    queues.default.bulk_add([{"job": "count"} for _ in range(3)])

    work(concurrency=1)

    first, *others = kept  # the first one may ask the server what it is
    assert len(set(others)) == 1
    assert first >= others[0] >= 1


def test_no_connection_is_left_open_when_a_worker_has_ended(work: Work, on_connect: OnConnect) -> None:
    made: list[Any] = []
    on_connect(lambda connection: made.append(connection.connection))

    @job(max_attempts=1)
    def be_bad(number: int) -> None:
        harmless_elsewhere[number]()

    harmless_elsewhere = [leave_transaction_open, turn_autocommit_off, close_connection, break_transaction, fail_in_sql]
    queues.default.bulk_add([{"job": "be_bad", "payload": {"number": number}} for number in range(5)])

    work(concurrency=2)

    assert set(Run.objects.values_list("state", flat=True)) <= {"completed", "dead_lettered"}
    wait_until(lambda: len(made) >= 7)
    wait_until(lambda: not [raw for raw in made if is_open(raw) and raw is not connection.connection])


@pytest.mark.postgresql
@pytest.mark.usefixtures("reuse")
def test_an_idle_worker_survives_the_loss_of_all_its_connections(start_worker: StartWorker, observer: Recorder) -> None:
    @job(max_attempts=1)
    def count() -> int:
        return Run.objects.count()

    before = queues.default.add("count")
    with start_worker(concurrency=1) as worker:
        observer.wait_until_settled(before)
        worker.chores.wait_for_turns(1)
        wait_until(Worker.objects.exists)  # the heartbeat has its connection
        assert terminate_all_others() >= 2

        after = [queues.default.add("count") for _ in range(2)]
        observer.wait_until_settled(*after)

    assert set(Run.objects.values_list("state", "attempt", "failures", "crashes")) == {("completed", 1, 0, 0)}


@pytest.mark.postgresql
@pytest.mark.usefixtures("reuse")
@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_a_run_survives_the_loss_of_all_connections_while_its_job_runs(
    start_worker: StartWorker, observer: Recorder, gate: Gate, kind: str
) -> None:
    if kind == "plain":

        @job(max_attempts=1)
        def wait(run: RunContext) -> int:
            count = Run.objects.count()
            gate.wait_to_pass()
            return count

    else:

        @job(name="wait", max_attempts=1)
        async def wait_too(run: RunContext) -> int:
            count = await Run.objects.acount()
            gate.wait_to_pass()
            return count

    @job(max_attempts=1)
    def count() -> int:
        return Run.objects.count()

    run = queues.default.add("wait")
    with start_worker(concurrency=1):
        gate.wait_for_job()
        wait_until(Worker.objects.exists)  # the heartbeat has its connection
        assert terminate_all_others() >= 3
        gate.open()
        after = queues.default.add("count")
        observer.wait_until_settled(run, after)

    assert set(Run.objects.values_list("state", "attempt", "failures", "crashes")) == {("completed", 1, 0, 0)}


@pytest.mark.postgresql
@pytest.mark.usefixtures("reuse")
def test_no_run_is_lost_or_run_twice_while_connections_break_again_and_again(
    start_worker: StartWorker, observer: Recorder, settings: Any
) -> None:
    settings.JOBQUEUE = {"worker": {"lease_seconds": 1, "poll_seconds": 0.02}}
    starts = []

    def has_settled(count: int) -> bool:
        return len(observer.settled) >= count

    @job
    def note(run: RunContext) -> None:
        starts.append((run.id, run.attempt))
        time.sleep(0.005)

    ids = queues.default.bulk_add([{"job": "note"} for _ in range(300)])
    with start_worker(concurrency=4):
        for round_number in range(1, 6):
            observer.wait_for(partial(has_settled, round_number * 40))
            terminate_all_others()
        observer.wait_for(lambda: set(ids) <= set(observer.settled_ids()))

    assert set(Run.objects.values_list("state", "failures")) == {("completed", 0)}
    # A claim whose commit was answered by nothing is lost to its worker, and reaped; none is started twice.
    assert sorted(run_id for run_id, _ in starts) == sorted(ids)


@pytest.mark.postgresql
@pytest.mark.parametrize("kind", [OperationalError, InterfaceError], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("turn", ["begins", "has ended"])
def test_a_connection_that_takes_no_timeout_when_an_attempt_begins_or_has_ended_is_dropped(
    work: Work, on_connect: OnConnect, monkeypatch: pytest.MonkeyPatch, kind: type[Exception], turn: str
) -> None:
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", None)
    sessions: list[int] = []
    refusing = threading.Event()

    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        in_attempt = threading.current_thread().name == "jobqueue-1"
        if in_attempt and refusing.is_set() and "statement_timeout" in sql:
            refusing.clear()
            raise kind("not now")
        return execute(sql, params, many, context)

    on_connect(lambda new: new.execute_wrappers.append(refuse))

    @job(max_attempts=1)
    def begin(number: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            sessions.append(cursor.fetchone()[0])
        if number == 1 and turn == "begins":
            refusing.set()

    @job(max_attempts=1, timeout_seconds=100)
    def limited(number: int) -> None:
        begin(number)
        if number == 2 and turn == "has ended":
            refusing.set()

    for number, name in enumerate(["begin", "limited", "limited"], start=1):
        queues.default.add(name, {"number": number}, priority=-number)

    work(concurrency=1)

    assert set(Run.objects.values_list("state", "attempt")) == {("completed", 1)}
    first, second, third = sessions
    assert (first != second, second != third) == (turn == "begins", turn == "has ended")


@pytest.mark.postgresql
def test_the_loss_of_the_connection_is_told_once_and_the_results_are_kept(
    start_worker: StartWorker, observer: Recorder, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    @job
    def wait() -> str:
        gate.wait_to_pass()
        return "kept"

    run = queues.default.add("wait")
    with start_worker():
        gate.wait_for_job()
        terminate_all_others()
        gate.open()
        observer.wait_until_settled(run)

    run.refresh_from_db()
    assert (run.state, run.result) == ("completed", "kept")
    warnings = [record for record in caplog.records if "does not answer" in record.getMessage()]
    assert [record.levelname for record in warnings] == ["WARNING"]
    assert caplog.text.count("The database lets this worker go on, after ") == 1


@pytest.mark.usefixtures("quick_heartbeat")
@pytest.mark.parametrize("kind", [OperationalError, InternalError], ids=lambda kind: kind.__name__)
def test_a_connection_to_a_server_that_may_not_write_any_more_is_given_up(
    start_worker: StartWorker,
    observer: Recorder,
    gate: Gate,
    on_connect: OnConnect,
    kind: type[Exception],
) -> None:
    """After a failover the new primary is to be had by a new connection only."""
    demoted = threading.Event()
    refused = set()

    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if demoted.is_set() and not sql.lstrip().startswith("SELECT"):
            refused.add(threading.current_thread().name.partition("-worker-")[0])
            raise kind("cannot execute UPDATE in a read-only transaction")
        return execute(sql, params, many, context)

    def watch(new: Any) -> None:
        if not demoted.is_set() and threading.current_thread() is not threading.main_thread():
            new.execute_wrappers.append(refuse)

    @job
    def wait() -> str:
        gate.wait_to_pass()
        return "kept"

    on_connect(watch)
    run = queues.default.add("wait")
    with start_worker():
        gate.wait_for_job()
        wait_until(Worker.objects.exists)  # the heartbeat has its connection
        demoted.set()
        wait_until(lambda: "jobqueue-heartbeat" in refused)
        gate.open()
        observer.wait_until_settled(run)

    assert refused >= {"jobqueue-heartbeat", "test"}
    run.refresh_from_db()
    assert (run.state, run.attempt, run.result) == ("completed", 1, "kept")


EARLY = """
import django
django.setup()
from django.db import connection
connection.ensure_connection()
connection.set_autocommit(False)
from django_jobqueue.worker import connections
connections.tidy()
print(connection.connection is None or connection.get_autocommit())
"""


@pytest.mark.sqlite  # Django does the same with any connection
def test_what_was_connected_before_the_worker_was_imported_is_tidied_up_too() -> None:
    """As by a project that queries when it is set up, in a child that runs job after job."""
    done = subprocess.run([sys.executable, "-c", EARLY], check=True, capture_output=True, text=True)

    assert done.stdout == "True\n"
