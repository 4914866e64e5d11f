"""What an atomic job does is committed together with its completion, or not at all."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from math import inf
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import DatabaseError, DataError, IntegrityError, OperationalError, connection, connections, transaction
from django.utils import timezone

from django_jobqueue import Cancel, Fail, Retry, RunContext, Snooze, job, operations, queues, testing
from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import Engine, LostRun, Settlement
from django_jobqueue.limiting.rules import declared_rules
from django_jobqueue.models import Run
from django_jobqueue.states import Outcome, State
from django_jobqueue.worker import atomic, heartbeat, runner
from django_jobqueue.worker.heartbeat import Heartbeat
from django_jobqueue.worker.self_fence import SelfFence
from tests.engines.endings import reap
from tests.worker.bench import Gate, Recorder, join_threads, wait_until
from tests.worker.conftest import OnConnect, Refuse, StartWorker, Work, end_lease

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try at once again what the database was too busy for."""
    monkeypatch.setattr(atomic, "BUSY_SECONDS", 0.0)


def note(name: str = "done") -> Group:
    """The effect of a job."""
    return Group.objects.create(name=name)


def names() -> list[str]:
    return sorted(Group.objects.values_list("name", flat=True))


def came_to(run: Run | None) -> tuple[str, list[str]]:
    """The state of *run*, and what its attempts came to."""
    assert run is not None
    run.refresh_from_db()
    return run.state, [attempt.outcome for attempt in run.attempts.order_by("number")]


# --- Together --------------------------------------------------------------------------------------------------------


def test_the_last_statement_of_the_transaction_settles_the_run_and_nothing_settles_it_again(
    observer: Recorder, on_connect: OnConnect, work: Work
) -> None:
    settling: list[tuple[str, bool, list[str]]] = []

    def look(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "INSERT INTO jobqueue_attempt" in sql:
            here = context["connection"]
            settling.append((threading.current_thread().name, here.in_atomic_block, names()))
        return execute(sql, params, many, context)

    on_connect(lambda new: new.execute_wrappers.append(look))

    @job(atomic=True)
    def pay() -> str:
        note()
        return "paid"

    run = queues.default.add("pay")
    connection.close()
    work()

    assert came_to(run) == ("completed", ["completed"])
    assert run.result == "paid"
    [(thread, in_transaction, seen)] = settling
    assert (thread.startswith("jobqueue-"), in_transaction, seen) == (True, True, ["done"])
    assert [(ended.settlement.outcome, state) for ended, state in observer.settled] == [("completed", "completed")]
    assert queues.default.stats().completed == 1


@pytest.mark.parametrize(
    "error", [LookupError, Retry, Snooze, Fail, Cancel, SystemExit], ids=lambda error: error.__name__
)
def test_a_job_that_raises_leaves_nothing_behind(work: Work, error: type[BaseException]) -> None:
    hooks: list[int] = []

    @job(atomic=True, max_attempts=1)
    def pay() -> None:
        note()
        transaction.on_commit(lambda: hooks.append(1))
        queues.default.add("rest", delay_seconds=3600)
        raise error(
            *(["not now"] if error is not Snooze else []), **({"delay_seconds": 3600} if error is Snooze else {})
        )

    @job
    def rest() -> None: ...

    run = queues.default.add("pay")
    work()

    outcome = {Fail: "failed", Cancel: "cancelled", Snooze: "snoozed"}.get(error, "dead_lettered")
    assert came_to(run) == ("pending" if error is Snooze else outcome, [outcome])
    assert (names(), hooks, Run.objects.count()) == ([], [], 1)


@pytest.mark.parametrize(
    ("say", "state", "kept"),
    [
        (lambda run: run.completed("early"), "completed", True),
        (lambda run: run.requeue(timezone.now() + timedelta(hours=1)), "pending", True),
        (lambda run: run.failed("no"), "failed", False),
    ],
    ids=["completed", "requeue", "failed"],
)
def test_what_a_job_did_is_kept_unless_it_has_failed(
    work: Work, say: Callable[[RunContext], None], state: str, kept: bool
) -> None:
    @job(atomic=True)
    def pay(run: RunContext) -> None:
        note()
        run.update_metadata(seen=True)
        say(run)

    run = queues.default.add("pay")
    work()

    assert came_to(run)[0] == state
    assert names() == (["done"] if kept else [])
    assert run.metadata == {"seen": True}


@pytest.mark.parametrize("how", ["by the job", "by the queue"])
def test_a_run_that_is_not_kept_goes_with_the_commit(work: Work, observer: Recorder, settings: Any, how: str) -> None:
    if how == "by the queue":
        settings.JOBQUEUE = {"queues": {"default": {"cleanup": {"completed_after_seconds": 0}}}}

    @job(atomic=True)
    def pay(run: RunContext) -> None:
        note()
        if how == "by the job":
            run.delete()

    queues.default.add("pay")
    work()

    assert (names(), Run.objects.count()) == (["done"], 0)
    assert [state for _, state in observer.settled] == ["completed"]


def test_what_a_job_adds_is_committed_with_it_and_its_hooks_are_called_afterwards(work: Work) -> None:
    told: list[str] = []

    @job(atomic=True)
    def pay() -> None:
        with suppress(LookupError), transaction.atomic():
            note("inner")
            raise LookupError
        queues.default.add("ship", {"name": note().name})
        transaction.on_commit(lambda: told.append(Run.objects.get(job="pay").state))

    @job(atomic=True)
    def ship(name: str) -> None:
        note(f"{name} and shipped")

    queues.default.add("pay")
    work()

    assert told == ["completed"]
    assert names() == ["done", "done and shipped"]


def test_a_hook_that_fails_changes_nothing_of_what_is_committed(work: Work, caplog: pytest.LogCaptureFixture) -> None:
    @job(atomic=True)
    def pay() -> None:
        note()
        transaction.on_commit(lambda: [].pop())

    run = queues.default.add("pay")
    work()

    assert came_to(run) == ("completed", ["completed"])
    assert names() == ["done"]
    assert "is settled, but a function that was to be called on commit failed" in caplog.text


def test_a_job_that_has_committed_and_calls_its_hooks_is_not_taken_for_lost(
    start_worker: StartWorker, gate: Gate, observer: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "GONE_SECONDS", 0.0)

    @job(atomic=True, unique="live")
    def pay() -> None:
        note()
        transaction.on_commit(gate.wait_to_pass)

    run = queues.default.add("pay")
    with start_worker() as worker:
        gate.wait_for_job()
        leases = worker.worker._leases
        [lease] = leases.all()
        lease.missed = True
        lease.renewed_at -= 10 * lease.seconds
        asked: list[str] = []
        fence = SelfFence(leases, lambda ref, why: asked.append(why), declared_rules)
        beat = Heartbeat(
            "it", leases, queues={}, concurrency=1, interrupt=fence._interrupt, prepare=lambda number: None
        )
        beat._look_for_lost()
        beat._look_for_lost()
        fence.look()
        assert (asked, lease.kill_at, lease.excludes_writers) == ([], inf, False)
        gate.open()
        observer.wait_until_settled(run)

    assert came_to(run) == ("completed", ["completed"])
    assert names() == ["done"]


def test_a_slot_is_free_after_the_commit_for_who_waits_for_it(work: Work) -> None:
    seen: list[list[str]] = []

    @job(atomic=True, concurrency_key="who", concurrent_jobs_per_key=1)
    def pay(who: str, number: int) -> None:
        seen.append(names())
        note(f"{who} {number}")

    for number in range(3):
        queues.default.add("pay", {"who": "ada", "number": number})
    work()

    assert seen == [[], ["ada 0"], ["ada 0", "ada 1"]]


# --- What cannot be committed ----------------------------------------------------------------------------------------


def test_a_result_that_cannot_be_stored_undoes_what_the_job_did(work: Work) -> None:
    @job(atomic=True)
    def pay() -> object:
        note()
        return object()

    run = queues.default.add("pay")
    work()

    assert came_to(run) == ("failed", ["failed"])
    assert (run.reason, names()) == ("invalid_result", [])


def test_a_result_that_the_database_refuses_undoes_what_the_job_did(work: Work, refuse: Refuse) -> None:
    refuse("CAST(result AS text) LIKE '%teapot%'")

    @job(atomic=True, max_attempts=1)
    def pay() -> str:
        note()
        return "a teapot"

    run = queues.default.add("pay")
    work()

    assert came_to(run) == ("dead_lettered", ["dead_lettered"])
    assert str(run.error).startswith("IntegrityError")
    assert names() == []


@pytest.mark.parametrize("how", ["rollback", "inner", "error"])
def test_a_job_that_returns_from_a_broken_transaction_has_failed(work: Work, how: str) -> None:
    @job(atomic=True, max_attempts=1)
    def pay() -> None:
        note()
        if how == "rollback":
            transaction.set_rollback(True)
        elif how == "error":
            with pytest.raises(IntegrityError):
                note()
        else:
            with suppress(LookupError), transaction.atomic(savepoint=False):
                raise LookupError

    run = queues.default.add("pay")
    work()

    assert came_to(run) == ("dead_lettered", ["dead_lettered"])
    assert str(run.error).startswith("TransactionBroken: The job has returned, but its transaction is broken")
    assert names() == []


@pytest.mark.postgresql
def test_a_job_that_goes_on_after_an_error_of_the_database_has_failed(work: Work) -> None:
    """One that Django has not noted: so only the server knows that the transaction is broken."""

    @job(atomic=True, max_attempts=1)
    def pay() -> None:
        note()
        with pytest.raises(DataError), connection.cursor() as cursor:
            cursor.execute("SELECT 1 / 0")

    run = queues.default.add("pay")
    work()

    assert came_to(run) == ("dead_lettered", ["dead_lettered"])
    assert str(run.error).startswith("TransactionBroken")
    assert names() == []


@pytest.mark.parametrize("how", ["ROLLBACK", "COMMIT", "closed", "opened anew"])
def test_a_job_whose_transaction_has_ended_behind_our_back_has_failed(work: Work, how: str) -> None:
    @job(atomic=True, max_attempts=1)
    def pay() -> None:
        note("before")
        if how in ("ROLLBACK", "COMMIT"):
            connections["default"].cursor().execute(how)
        else:
            connections["default"].close()
        if how == "opened anew":
            connections["default"].connect()

    run = queues.default.add("pay")
    work()

    assert came_to(run) == ("dead_lettered", ["dead_lettered"])
    assert str(run.error).startswith("TransactionBroken")
    assert names() == (["before"] if how == "COMMIT" else [])


def test_a_job_that_raises_on_a_connection_of_its_own_is_told_by_its_error(work: Work) -> None:
    @job(atomic=True, max_attempts=1)
    def pay() -> None:
        note()
        connections["default"].close()
        connections["default"].connect()
        raise LookupError("nobody there")

    run = queues.default.add("pay")
    work()

    assert came_to(run) == ("dead_lettered", ["dead_lettered"])
    assert (run.error, names()) == ("LookupError: nobody there", [])


@pytest.mark.sqlite
def test_a_job_that_goes_on_after_an_error_that_has_undone_everything_has_failed(work: Work) -> None:
    @job(atomic=True, max_attempts=1)
    def pay() -> None:
        group = note("before")
        with suppress(IntegrityError), connections["default"].cursor() as cursor:
            cursor.execute("INSERT OR ROLLBACK INTO auth_group (id, name) VALUES (%s, 'same')", [group.pk])

    run = queues.default.add("pay")
    work()

    assert came_to(run) == ("dead_lettered", ["dead_lettered"])
    assert str(run.error).startswith("TransactionBroken")


@pytest.mark.mysql
def test_a_job_with_a_statement_that_commits_by_itself_has_failed_and_what_it_did_before_stays(work: Work) -> None:
    @job(atomic=True, max_attempts=1)
    def pay() -> None:
        note("before")
        connections["default"].cursor().execute("ALTER TABLE auth_group COMMENT = 'altered'")

    run = queues.default.add("pay")
    work()

    assert came_to(run) == ("dead_lettered", ["dead_lettered"])
    assert str(run.error).startswith("TransactionBroken")
    assert names() == ["before"]


@pytest.mark.postgresql
def test_an_atomic_job_may_choose_its_isolation_level(work: Work) -> None:
    @job(atomic=True)
    def pay() -> str:
        with connections["default"].cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
            cursor.execute("SHOW transaction_isolation")
            return str(cursor.fetchone()[0])

    run = queues.default.add("pay")
    work()

    assert came_to(run) == ("completed", ["completed"])
    assert run.result == "serializable"


def test_a_constraint_that_fails_with_the_commit_fails_the_job(work: Work) -> None:
    @job(atomic=True, max_attempts=1)
    def pay() -> None:
        User.groups.through.objects.create(user_id=404, group_id=note().pk)

    run = queues.default.add("pay")
    work()

    assert came_to(run) == ("dead_lettered", ["dead_lettered"])
    assert str(run.error).startswith("IntegrityError")
    assert names() == []


def taken_away(lost: LostRun) -> Settlement:
    """As by a reaper, but for the next attempt, which need not run in a child."""
    return Settlement(lost.ref, outcome=Outcome.CRASHED, state=State.PENDING, counter="releases")


# --- Lost leases -----------------------------------------------------------------------------------------------------


def test_what_a_job_did_whose_lease_was_lost_is_undone(
    work: Work, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    def take_away(payload: object, run: RunContext) -> bool:
        if run.attempt == 1:
            with transaction.atomic():  # lest a heartbeat come in between
                end_lease(int(run.id))
                assert reap(engine, "default", taken_away)
        return True

    @job(atomic=True, preflight={"okay_to_run": take_away})
    def pay(run: RunContext) -> str:
        note(f"by attempt {run.attempt}")
        return f"by attempt {run.attempt}"

    run = queues.default.add("pay")
    work()

    assert came_to(run) == ("completed", ["crashed", "completed"])
    assert (run.result, names()) == ("by attempt 2", ["by attempt 2"])
    assert f"Lease lost, result dropped: run {run.id} (default.pay)" in caplog.text


@pytest.mark.postgresql
def test_what_a_job_does_after_it_was_cut_off_is_undone(
    start_worker: StartWorker, gate: Gate, observer: Recorder
) -> None:
    @job(atomic=True, max_attempts=1, timeout_seconds=0.1, hard_timeout_seconds=0.1)
    def pay() -> str:
        note()
        gate.wait_to_pass()
        return "late"

    run = queues.default.add("pay")
    with start_worker(concurrency=1) as worker:
        observer.wait_until_settled(run)
        gate.open()
        worker.stop()
    join_threads()

    assert came_to(run) == ("dead_lettered", ["timed_out"])
    assert (run.result, names()) == (None, [])


@pytest.mark.postgresql
@pytest.mark.usefixtures("quick_heartbeat")
def test_an_atomic_job_keeps_nobody_from_its_run(start_worker: StartWorker, gate: Gate, observer: Recorder) -> None:
    """Heartbeats renew its lease, and it can be asked to end, until its last statement; then success comes first."""

    @job(atomic=True)
    def pay(run: RunContext) -> bool:
        note()
        gate.wait_to_pass()
        return run.cancel_requested

    run = queues.default.add("pay")
    with start_worker() as worker:
        gate.wait_for_job()
        [before] = Run.objects.values_list("lease_until", flat=True)
        operations.cancel(run.id, actor="bo", reason="too late")
        wait_until(Run.objects.filter(lease_until__gt=before).exists)
        wait_until(lambda: worker.worker._leases.all()[0].interrupted)
        gate.open()
        observer.wait_until_settled(run)

    assert came_to(run) == ("completed", ["completed"])
    assert (run.result, names()) == (True, ["done"])


# --- Lost replies, and a database that is away or busy ----------------------------------------------------------------


class Commits:
    """Lets the first commit of an atomic job end in an error: before it reaches the database, or after."""

    def __init__(self, error: BaseException, *, after: bool) -> None:
        self._error, self._after = error, after
        self.failed = 0

    def watch(self, new: Any) -> None:
        if threading.current_thread().name.startswith("jobqueue-1"):
            commit = new._commit
            new._commit = lambda: self._commit(commit)

    def _commit(self, commit: Callable[[], None]) -> None:
        if self.failed:
            return commit()
        self.failed += 1
        if self._after:
            commit()
        raise self._error


@pytest.mark.parametrize("after", [False, True], ids=["lost", "reply lost"])
def test_a_commit_without_an_answer_is_no_failure_and_what_it_did_is_done_once(
    on_connect: OnConnect, observer: Recorder, work: Work, after: bool
) -> None:
    commits = Commits(OperationalError("the network is down"), after=after)
    on_connect(commits.watch)

    @job(atomic=True, max_attempts=1)
    def pay(run: RunContext) -> int:
        note(f"by attempt {run.attempt}")
        return run.attempt

    run = queues.default.add("pay")
    work(concurrency=1)

    assert commits.failed == 1
    if after:
        assert came_to(run) == ("completed", ["completed"])
        assert [(ended.settlement.outcome, state) for ended, state in observer.settled] == [("completed", "completed")]
    else:
        assert came_to(run) == ("completed", ["released", "completed"])
    assert (run.failures, names()) == (0, [f"by attempt {run.attempt}"])


@pytest.mark.parametrize("how", ["requeued", "deleted", "purged"])
def test_what_a_commit_without_an_answer_has_put_back_or_deleted_is_known_to_be(
    on_connect: OnConnect, observer: Recorder, work: Work, settings: Any, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    if how == "purged":
        settings.JOBQUEUE = {"queues": {"default": {"cleanup": {"completed_after_seconds": 0}}}}
    on_connect(Commits(OperationalError("the network is down"), after=True).watch)

    @job(atomic=True, max_attempts=1)
    def pay(run: RunContext) -> None:
        note()
        if how == "requeued":
            run.requeue(timezone.now() + timedelta(hours=1))
        elif how == "deleted":
            run.delete()

    queues.default.add("pay")
    work(concurrency=1)

    assert names() == ["done"]
    assert [state for _, state in observer.settled] == ["pending" if how == "requeued" else "completed"]
    assert list(Run.objects.values_list("state", "snoozes")) == ([("pending", 1)] if how == "requeued" else [])
    assert "Lease lost" not in caplog.text


@pytest.mark.postgresql
@pytest.mark.parametrize("when", ["in the job", "in the job, which tells", "before the commit"])
def test_a_session_that_the_server_ends_is_no_failure(on_connect: OnConnect, work: Work, when: str) -> None:
    """A real one: what Django and psycopg make of it is not for us to guess."""
    ended: list[int] = []

    def end_session(here: Any) -> None:
        if not ended:
            ended.append(here.connection.info.backend_pid)
            with suppress(OperationalError):
                here.cursor().execute("SELECT pg_terminate_backend(pg_backend_pid())")

    def watch(new: Any) -> None:
        commit = new._commit

        def commit_too_late() -> None:
            end_session(new)
            commit()

        if threading.current_thread().name == "jobqueue-1" and when == "before the commit":
            new._commit = commit_too_late

    on_connect(watch)

    @job(atomic=True, max_attempts=1)
    def pay(run: RunContext) -> None:
        note(f"by attempt {run.attempt}")
        if when != "before the commit":
            end_session(connections["default"])
        if when == "in the job, which tells" and run.attempt == 1:
            note("too late")

    run = queues.default.add("pay")
    work(concurrency=1)

    assert ended
    assert came_to(run) == ("completed", ["released", "completed"])
    assert (run.failures, names()) == (0, ["by attempt 2"])


@pytest.mark.parametrize("sqlstate", ["55000", "53100", "25P03", "25P04"])
def test_what_a_database_that_is_there_says_against_the_commit_fails_the_job(
    on_connect: OnConnect, work: Work, sqlstate: str
) -> None:
    """An error of a trigger, a full disk, a transaction that may not take so long: it would come again for ever."""
    cause: Any = Exception()
    cause.sqlstate, cause.sqlite_errorcode = sqlstate, sqlite3.SQLITE_FULL
    error = OperationalError(1114, "full")
    error.__cause__ = cause
    on_connect(Commits(error, after=False).watch)

    @job(atomic=True, max_attempts=1)
    def pay() -> None:
        note()

    run = queues.default.add("pay")
    work(concurrency=1)

    assert came_to(run) == ("dead_lettered", ["dead_lettered"])
    assert (run.releases, names()) == (0, [])


@pytest.mark.postgresql
def test_a_trigger_that_objects_when_the_transaction_is_committed_fails_the_job(work: Work) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            CREATE FUNCTION object() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE 'not in this state' USING ERRCODE = '55000'; END $$
            """
        )
        cursor.execute(
            "CREATE CONSTRAINT TRIGGER objects AFTER INSERT ON auth_group DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION object()"
        )
        try:

            @job(atomic=True, max_attempts=1)
            def pay() -> None:
                note()

            run = queues.default.add("pay")
            work()
        finally:
            cursor.execute("DROP TRIGGER objects ON auth_group")
            cursor.execute("DROP FUNCTION object()")

    assert came_to(run) == ("dead_lettered", ["dead_lettered"])
    assert str(run.error).startswith("OperationalError: not in this state")


@pytest.mark.postgresql
def test_a_transaction_that_the_server_ends_because_it_idles_is_a_failure(work: Work) -> None:
    @job(atomic=True, max_attempts=1)
    def pay() -> None:
        note()
        here = connections["default"]
        session = here.connection.info.backend_pid
        here.cursor().execute("SET LOCAL idle_in_transaction_session_timeout = '1ms'")
        other = here.copy()
        with other.cursor() as cursor:
            wait_until(lambda: not is_there(cursor, session))
        other.close()

    def is_there(cursor: Any, session: int) -> bool:
        cursor.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [session])
        return cursor.fetchone() is not None

    run = queues.default.add("pay")
    work()

    state, [*before, last] = came_to(run)
    assert (state, last) == ("dead_lettered", "dead_lettered")
    assert set(before) <= {"released"}  # the last words of the server may be lost; then it seems to be away
    assert "idle-in-transaction timeout" in str(run.error)
    assert names() == []


def test_an_outage_of_another_database_is_a_failure_as_in_any_other_job(work: Work) -> None:
    @job(atomic=True, max_attempts=1)
    def pay() -> None:
        raise OperationalError("the other one is away")

    run = queues.default.add("pay")
    work()

    assert came_to(run) == ("dead_lettered", ["dead_lettered"])


def test_a_run_that_is_put_back_waits_longer_each_time_and_in_the_end_that_is_an_error(
    on_connect: OnConnect, work: Work, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(atomic, "BUSY_SECONDS", 1000.0)
    monkeypatch.setattr(atomic, "LONGEST_BUSY_SECONDS", 6000.0)
    on_connect(Commits(OperationalError("the network\n\tis down"), after=False).watch)

    @job(atomic=True)
    def pay() -> None:
        note()

    run = queues.default.add("pay")
    Run.objects.filter(pk=run.pk).update(releases=10)
    work(concurrency=1)

    assert came_to(run) == ("pending", ["released"])
    assert run.run_at > timezone.now() + timedelta(seconds=2000)
    [record] = [record for record in caplog.records if "is put back for" in record.getMessage()]
    assert (record.levelname, "for the 11. time" in record.getMessage()) == ("ERROR", True)
    assert str(run.attempts.get().error).endswith(": the network is down")


def test_a_settlement_that_does_not_reach_the_database_is_no_failure(on_connect: OnConnect, work: Work) -> None:
    failed: list[str] = []

    def hinder(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if threading.current_thread().name == "jobqueue-1" and "INSERT INTO jobqueue_attempt" in sql and not failed:
            failed.append(sql)
            raise OperationalError("the network is down")
        return execute(sql, params, many, context)

    on_connect(lambda new: new.execute_wrappers.append(hinder))

    @job(atomic=True, max_attempts=1)
    def pay(run: RunContext) -> None:
        note(f"by attempt {run.attempt}")

    run = queues.default.add("pay")
    work(concurrency=1)

    assert came_to(run) == ("completed", ["released", "completed"])
    assert (run.failures, names()) == (0, ["by attempt 2"])


def test_a_run_whose_transaction_cannot_begin_is_put_back_and_has_not_started(
    on_connect: OnConnect,
    work: Work,
    observer: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(runner, "NOT_BEGUN_DELAY_SECONDS", 0.0)
    refused: list[bool] = []

    def refuse(new: Any) -> None:
        if threading.current_thread().name == "jobqueue-1" and not refused:
            refused.append(True)
            raise OperationalError("too many connections")

    on_connect(refuse)

    @job(atomic=True, max_attempts=1)
    def pay(run: RunContext) -> None:
        note(f"by attempt {run.attempt}")

    run = queues.default.add("pay")
    work(concurrency=1)

    assert refused
    assert came_to(run) == ("completed", ["completed"])
    assert (run.releases, run.failures, names()) == (1, 0, ["by attempt 2"])
    assert "is put off: its transaction cannot begin: too many connections" in caplog.text


@pytest.mark.parametrize("where", ["in the job", "in the commit"])
def test_a_database_that_is_busy_is_no_failure(
    on_connect: OnConnect, work: Work, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    if where == "in the commit":
        on_connect(Commits(busy(), after=False).watch)

    @job(atomic=True, max_attempts=1, fail_on=[DatabaseError])
    def pay(run: RunContext) -> None:
        note(f"by attempt {run.attempt}")
        if run.attempt == 1 and where == "in the job":
            raise busy()

    run = queues.default.add("pay")
    work(concurrency=1)

    assert came_to(run) == ("completed", ["released", "completed"])
    assert (run.failures, run.releases, names()) == (0, 1, ["by attempt 2"])
    assert "The database was busy" in caplog.text


@pytest.mark.sqlite
@pytest.mark.postgresql
def test_a_transaction_that_another_one_kept_from_writing_is_no_failure(work: Work, settings: Any) -> None:
    """As the databases themselves say it: SQLite of any second writer, the others of one that comes from the side."""
    with pytest.raises(OperationalError) as caught:
        collide()

    assert engine_for("default").is_busy(caught.value)


def busy() -> OperationalError:
    """What this database says when others were faster."""
    error = OperationalError(1213, "busy")
    cause: Any = Exception("busy")
    cause.sqlstate, cause.sqlite_errorcode = "40001", sqlite3.SQLITE_BUSY
    error.__cause__ = cause
    return error


def collide() -> None:
    """Let two transactions of this database want the same, in a way that one of them must give way."""
    other = connection.copy()
    other.inc_thread_sharing()
    try:
        if connection.vendor == "sqlite":
            other.settings_dict = {**other.settings_dict, "OPTIONS": {**other.settings_dict["OPTIONS"], "timeout": 0}}
            with transaction.atomic():
                note()
                with other.cursor() as cursor:
                    cursor.execute("DELETE FROM auth_group")
        else:
            level = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"
            group = note()
            with transaction.atomic():
                connection.cursor().execute(level)
                assert Group.objects.count() == 1
                other.cursor().execute("UPDATE auth_group SET name = 'other'")
                Group.objects.filter(pk=group.pk).update(name="one")
    finally:
        other.close()


# --- On a database with one writer -----------------------------------------------------------------------------------


@pytest.mark.sqlite
def test_while_an_atomic_job_keeps_its_own_heartbeat_from_writing_no_lease_is_in_doubt(
    start_worker: StartWorker, gate: Gate, observer: Recorder
) -> None:
    @job(atomic=True)
    def pay() -> None:
        note()
        gate.wait_to_pass()

    run = queues.default.add("pay")
    with start_worker(concurrency=1) as worker:
        gate.wait_for_job()
        [lease] = worker.worker._leases.all()
        lease.renewed_at -= 10 * lease.seconds
        asked: list[str] = []
        fence = SelfFence(worker.worker._leases, lambda ref, why: asked.append(why), declared_rules)
        fence.look()
        assert (lease.excludes_writers, asked) == (True, [])
        gate.open()
        observer.wait_until_settled(run)
        assert not lease.excludes_writers

    assert came_to(run) == ("completed", ["completed"])


@pytest.mark.sqlite
def test_an_atomic_job_waits_for_other_writers_before_it_begins_and_for_none_afterwards(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the settings let transactions begin without the lock."""
    connection.ensure_connection()
    monkeypatch.setattr(connections["default"], "transaction_mode", None)
    other = connection.copy()
    other.settings_dict = {**other.settings_dict, "OPTIONS": {**other.settings_dict["OPTIONS"], "timeout": 0}}
    with transaction.atomic():
        engine.begin_to_write()
        with pytest.raises(OperationalError, match="locked"):
            other.cursor().execute("DELETE FROM auth_group")
    other.close()


# --- In tests --------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=False)
@pytest.mark.parametrize("fails", [False, True], ids=["returns", "raises"])
def test_in_a_test_that_is_a_transaction_itself_an_atomic_job_does_the_same(fails: bool) -> None:
    told: list[int] = []

    @job(atomic=True, max_attempts=1)
    def pay() -> str:
        note()
        transaction.on_commit(lambda: told.append(1))
        if fails:
            raise LookupError
        return "paid"

    run = queues.default.add("pay")
    [worked] = testing.drain()

    assert came_to(run) == (worked.state, [worked.outcome])
    assert worked.state == ("dead_lettered" if fails else "completed")
    assert (names(), told) == (([], []) if fails else (["done"], [1]))

    with testing.inline(raise_errors=False):
        assert came_to(queues.default.add("pay"))[0] == "dead_lettered"  # it is the second of its name
    assert len(names()) == (0 if fails else 1)
