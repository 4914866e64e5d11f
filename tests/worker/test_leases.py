"""Who may write what came of an attempt: the worker whose lease it is, once."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import DataError, OperationalError, connection, connections, transaction
from django.utils import timezone

from django_jobqueue import RunContext, job, queues
from django_jobqueue.engines.base import Engine, LostRun, Ref
from django_jobqueue.jobs import registry
from django_jobqueue.limiting.limiter import Limiter
from django_jobqueue.models import Run
from django_jobqueue.models import Worker as WorkerRow
from django_jobqueue.states import State
from django_jobqueue.worker import crash, heartbeat, lock_waits
from django_jobqueue.worker.assignment import Assignment
from django_jobqueue.worker.exchange import Exchange
from django_jobqueue.worker.heartbeat import Heartbeat
from django_jobqueue.worker.leases import Leases
from django_jobqueue.worker.lock_waits import short_lock_waits
from django_jobqueue.worker.observer import Observer
from django_jobqueue.worker.reaper import crashed
from django_jobqueue.worker.receipts import receipts
from django_jobqueue.worker.returns import Returns
from django_jobqueue.worker.runner import Ended, run_attempt
from django_jobqueue.worker.sessions import sessions_with
from tests.engines import endings
from tests.worker.bench import PATIENCE_SECONDS, Gate, Recorder, join_threads, wait_until
from tests.worker.conftest import Lose, OnConnect, Refuse, StartWorker, Work, end_lease

pytestmark = pytest.mark.django_db(transaction=True)

CLAIMS = re.compile(r"SET (run\.)?state = 'running'")
"""How the statement goes by which a run is ours, of any engine."""


def reap(engine: Engine, run_id: int) -> list[tuple[LostRun, State]]:
    with transaction.atomic():  # lest a heartbeat come in between
        end_lease(run_id)
        return endings.reap(engine, "default", crashed)


def cut(connection: Any) -> None:
    """Break a connection. The drivers of MySQL know one that was closed from one that broke."""
    if connection.vendor == "mysql":
        with suppress(Exception), connection.connection.cursor() as cursor:
            cursor.execute(f"KILL {connection.connection.thread_id()}")
    else:
        connection.connection.close()


def test_the_result_of_a_worker_that_lost_its_lease_is_dropped_and_named(
    start_worker: StartWorker,
    observer: Recorder,
    gate: Gate,
    engine: Engine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    @job
    def answer() -> str:
        gate.wait_to_pass()
        return "late"

    @job
    def follow() -> None:
        pass

    run = queues.default.add("answer")
    with start_worker(concurrency=1):
        gate.wait_for_job()
        assert reap(engine, run.id)
        [theirs] = engine.claim("default", "default", worker="other:1:a", limit=1, lease_seconds=30)
        gate.open()
        observer.wait_until_settled(queues.default.add("follow"))

    run.refresh_from_db()
    assert (run.state, run.attempt, run.worker, run.result) == ("running", theirs.attempt, "other:1:a", None)
    assert list(run.attempts.values_list("number", "outcome")) == [(1, "crashed")]
    assert run.id not in observer.settled_ids()
    [warning] = [record for record in caplog.records if "result dropped" in record.getMessage()]
    assert warning.levelname == "WARNING"
    assert f"Lease lost, result dropped: run {run.id} (default.answer)" in warning.getMessage()
    assert "attempt 1" in warning.getMessage()


@pytest.mark.parametrize("end", ["cancel", "delete"])
def test_the_result_of_a_run_that_was_ended_by_others_is_dropped(
    start_worker: StartWorker,
    observer: Recorder,
    gate: Gate,
    engine: Engine,
    caplog: pytest.LogCaptureFixture,
    end: str,
) -> None:
    @job
    def answer() -> str:
        gate.wait_to_pass()
        return "late"

    run = queues.default.add("answer")
    with start_worker(drain=True) as worker:
        gate.wait_for_job()
        if end == "cancel":
            Run.objects.filter(pk=run.pk).update(cancel_requested_at=timezone.now())
            assert reap(engine, run.id)
        else:
            Run.objects.filter(pk=run.pk).delete()
        gate.open()
        worker.wait()

    assert list(Run.objects.values_list("state", "result")) == ([("cancelled", None)] if end == "cancel" else [])
    assert observer.settled == []
    assert "Lease lost, result dropped" in caplog.text


def test_an_attempt_whose_settlement_was_written_but_not_answered_is_settled(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    @job
    def answer() -> int:
        return 42

    run = queues.default.add("answer")
    leases = Leases()
    exchange = Exchange("me:1:a", ["default"], leases)
    [claim] = exchange.trade([], 1).claims
    ended = run_attempt(Assignment(claim, registry.get("default", "answer")))
    assert isinstance(ended, Ended)
    engine.settle([ended.settlement])

    trade = exchange.trade([ended], 0)

    assert trade.settled == [(ended, State.COMPLETED)]
    assert len(leases) == 0
    assert caplog.text == ""
    run.refresh_from_db()
    assert (run.state, run.result) == ("completed", 42)


def test_what_another_worker_has_settled_is_no_receipt(engine: Engine) -> None:
    @job
    def answer() -> int:
        return 42

    queues.default.add("answer")
    [claim] = engine.claim("default", "default", worker="me:1:a", limit=1, lease_seconds=30)
    ended = run_attempt(Assignment(claim, registry.get("default", "answer")))
    assert isinstance(ended, Ended)
    engine.settle([ended.settlement])

    assert receipts("me:1:a", [ended.settlement]) == {claim.ref: State.COMPLETED}
    assert receipts("other:1:a", [ended.settlement]) == {}


def test_what_a_reaper_wrote_in_our_name_is_no_receipt(engine: Engine) -> None:
    """The process of a job has crashed, which could not be written before its lease was over."""

    @job
    def answer() -> None: ...

    run = queues.default.add("answer")
    exchange = Exchange("me:1:a", ["default"], Leases())
    [claim] = exchange.trade([], 1).claims
    reap(engine, run.id)

    assert exchange.trade([Ended(claim, crash.crashed(claim, "It was killed by signal 9."))], 0).settled == []
    assert run.attempts.get().outcome == "crashed"


def cancelled_while_it_failed(exchange: Exchange) -> tuple[Run, Ended]:
    """A run that somebody has asked to cancel, and the failure of its attempt, which is not yet written."""

    @job
    def fail() -> None:
        raise ValueError

    run = queues.default.add("fail")
    assert run is not None
    [claim] = exchange.trade([], 1).claims
    ended = run_attempt(Assignment(claim, registry.get("default", "fail")))
    assert isinstance(ended, Ended)
    Run.objects.filter(pk=run.pk).update(cancel_requested_at=timezone.now())
    return run, ended


def test_a_cancel_that_a_reaper_wrote_in_our_name_is_no_receipt(engine: Engine) -> None:
    exchange = Exchange("me:1:a", ["default"], Leases())
    run, ended = cancelled_while_it_failed(exchange)
    reap(engine, run.id)

    assert exchange.trade([ended], 0).settled == []
    assert run.attempts.get().outcome == "cancelled"


def test_a_cancel_that_was_written_but_not_answered_is_told(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    exchange = Exchange("me:1:a", ["default"], Leases())
    _, ended = cancelled_while_it_failed(exchange)
    engine.settle([ended.settlement])

    assert exchange.trade([ended], 0).settled == [(ended, State.CANCELLED)]
    assert caplog.text == ""


def test_a_lost_reply_to_a_commit_loses_nothing(
    start_worker: StartWorker,
    observer: Recorder,
    engine: Engine,
    on_connect: OnConnect,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The connection breaks after the database has committed a settlement, and before it could say so."""
    broken: list[bool] = []

    def watch(connection: Any) -> None:
        settles = False

        def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            nonlocal settles
            settles = settles or sql == engine.SETTLE  # type: ignore[attr-defined]
            return execute(sql, params, many, context)

        def commit_and_break() -> None:
            commit()
            if settles and not broken:
                broken.append(True)
                connection.connection.close()
                raise OperationalError("the connection broke")

        commit = connection._commit
        if threading.current_thread().name.startswith("test-worker-"):
            connection.execute_wrappers.append(note)
            connection._commit = commit_and_break

    @job
    def answer() -> int:
        return 42

    on_connect(watch)
    run = queues.default.add("answer")

    with start_worker():
        observer.wait_until_settled(run)

    assert broken
    assert "Lease lost" not in caplog.text
    run.refresh_from_db()
    assert (run.state, run.result, run.attempt) == ("completed", 42, 1)


@pytest.mark.usefixtures("quick_heartbeat")
def test_a_run_that_is_settled_is_not_taken_for_lost_while_the_reply_to_that_is_on_its_way(
    start_worker: StartWorker,
    observer: Recorder,
    on_connect: OnConnect,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(heartbeat, "NOTES_SECONDS", 0.01)
    monkeypatch.setattr(heartbeat, "GONE_SECONDS", 0.0)
    beats, committed = threading.Semaphore(0), threading.Event()

    def watch(connection: Any) -> None:
        def note_beat(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            if sql.startswith("UPDATE") and "heartbeat_at" in sql and committed.is_set():
                beats.release()
            return execute(sql, params, many, context)

        def commit_slowly() -> None:
            commit()
            if has_ended.is_set() and not committed.is_set():
                committed.set()
                for _ in range(3):
                    assert beats.acquire(timeout=PATIENCE_SECONDS)

        commit = connection._commit
        if threading.current_thread().name.startswith("test-worker-"):
            connection._commit = commit_slowly
        elif threading.current_thread().name == "jobqueue-heartbeat":
            connection.execute_wrappers.append(note_beat)

    has_ended = threading.Event()

    @job
    def answer() -> None:
        has_ended.set()

    on_connect(watch)
    run = queues.default.add("answer")
    with start_worker():
        observer.wait_until_settled(run)

    assert committed.is_set()
    assert "Lease lost" not in caplog.text


@pytest.mark.parametrize("delivery", ["at_least_once", "at_most_once"])
def test_a_claim_whose_reply_was_lost_is_handed_back_as_soon_as_the_database_answers(
    start_worker: StartWorker, observer: Recorder, on_connect: OnConnect, delivery: Any
) -> None:
    """The connection breaks after the database has committed a claim: nobody here knows of it, and nobody has started it."""
    claimed: list[bool] = []
    broken: list[bool] = []

    def watch(connection: Any) -> None:
        def claim_and_break(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            answer = execute(sql, params, many, context)
            if CLAIMS.search(sql):
                claimed.append(True)
                if not broken and not connection.in_atomic_block:
                    context["cursor"].fetchall()  # it commits by itself
                    break_once()
            return answer

        def commit_and_break() -> None:
            commit()
            break_once()

        def break_once() -> None:
            if claimed and not broken:
                broken.append(True)
                cut(connection)
                raise OperationalError("the connection broke")

        commit = connection._commit
        if threading.current_thread().name.startswith("test-worker-"):
            connection.execute_wrappers.append(claim_and_break)
            connection._commit = commit_and_break

    starts = []

    @job(delivery=delivery)
    def note(run: RunContext) -> None:
        starts.append(run.attempt)

    on_connect(watch)
    run = queues.default.add("note")

    with start_worker():
        observer.wait_until_settled(run)

    assert broken
    run.refresh_from_db()
    assert (run.state, run.attempt, run.crashes, run.releases) == ("completed", 2, 0, 1)
    assert starts == [2]


@pytest.mark.postgresql
@pytest.mark.sqlite
@pytest.mark.parametrize("delivery", ["at_least_once", "at_most_once"])
def test_a_run_that_was_handed_back_unheard_is_handed_back_once_and_starts_once(
    start_worker: StartWorker,
    observer: Recorder,
    engine: Engine,
    on_connect: OnConnect,
    caplog: pytest.LogCaptureFixture,
    delivery: Any,
) -> None:
    """The connection breaks after the database has committed a release, and another worker claims the run at once."""
    broken: list[bool] = []
    starts: list[int] = []

    def watch(connection: Any) -> None:
        def release_and_break(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            answer = execute(sql, params, many, context)
            if sql == engine.RELEASE and not broken:  # type: ignore[attr-defined]
                context["cursor"].fetchall()  # it commits by itself
                theirs = engine.claim("default", "default", worker="other:1:a", limit=1, lease_seconds=30)
                broken.append(len(theirs) == 1)
                connection.connection.close()
                raise OperationalError("the connection broke")
            return answer

        if threading.current_thread().name.startswith("test-worker-"):
            connection.execute_wrappers.append(release_and_break)

    @job(delivery=delivery, preflight={"okay_to_run": lambda payload, run: run.attempt > 1, "requeue_delay_seconds": 0})
    def note(run: RunContext) -> None:
        starts.append(run.attempt)

    on_connect(watch)
    run = queues.default.add("note")

    with start_worker() as worker:
        wait_until(lambda: broken and not worker.worker._leases)
        run.refresh_from_db()
        assert (run.state, run.worker, run.attempt, run.releases) == ("running", "other:1:a", 2, 1)
        engine.release([Ref(run.id, 2)])
        observer.wait_until_settled(run)

    assert broken == [True]
    run.refresh_from_db()
    assert (run.state, run.attempt, run.crashes, run.releases) == ("completed", 3, 0, 2)
    assert starts == [3]


def test_what_was_claimed_before_another_claim_failed_is_handed_back(
    start_worker: StartWorker, engine: Engine, on_connect: OnConnect, settings: Any
) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {}, "news": {}}}
    claims = []

    def watch(connection: Any) -> None:
        def fail_at_the_second(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            if sql == engine.CLAIM:  # type: ignore[attr-defined]
                claims.append(sql)
                if len(claims) == 2:
                    raise DataError("no such claim")
            return execute(sql, params, many, context)

        connection.execute_wrappers.append(fail_at_the_second)

    @job(queue="mail", delivery="at_most_once")
    def send() -> None:
        pass

    @job(queue="news", delivery="at_most_once")
    def print_it() -> None:
        pass

    runs = [queues.mail.add("send"), queues.news.add("print_it")]
    on_connect(watch)

    with pytest.raises(DataError, match="no such claim"), start_worker("mail", "news") as worker:
        worker.wait()

    assert len(claims) == 2
    for run in runs:
        run.refresh_from_db()
    assert sorted((run.state, run.attempt, run.releases) for run in runs) == [("pending", 0, 0), ("pending", 1, 1)]


def test_only_what_was_claimed_for_us_unheard_is_handed_back(engine: Engine) -> None:
    @job
    def answer() -> None:
        pass

    for _ in range(3):
        queues.default.add("answer")
    exchange = Exchange("me:1:a", ["default"], Leases())
    [known] = exchange.trade([], 1).claims
    [unheard] = engine.claim("default", "default", worker="me:1:a", limit=1, lease_seconds=30)
    [theirs] = engine.claim("default", "default", worker="other:1:a", limit=1, lease_seconds=30)

    exchange.release_unheard()

    states = dict(Run.objects.values_list("pk", "state"))
    assert states == {known.id: "running", unheard.id: "pending", theirs.id: "running"}


def test_a_claim_that_fails_for_another_reason_is_told() -> None:
    @job
    def answer() -> None:
        pass

    def fail(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if CLAIMS.search(sql):
            raise DataError("no such thing")
        return execute(sql, params, many, context)

    queues.default.add("answer")
    exchange = Exchange("me:1:a", ["default"], Leases())

    with connection.execute_wrapper(fail), pytest.raises(DataError):
        exchange.trade([], 1)


def test_claims_are_not_forgotten_when_the_database_goes_away_behind_them(
    start_worker: StartWorker, observer: Recorder, gate: Gate, on_connect: OnConnect
) -> None:
    """A transaction claims, and the look for the receipt of a lost attempt that follows it fails."""
    broken: list[bool] = []

    def watch(connection: Any) -> None:
        def fail(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            if sql.startswith("SELECT") and "jobqueue_attempt" in sql and not broken:
                broken.append(True)
                raise OperationalError("the connection broke")
            return execute(sql, params, many, context)

        if threading.current_thread().name.startswith("test-worker-"):
            connection.execute_wrappers.append(fail)

    @job
    def lose_lease() -> None:
        gate.wait_to_pass()

    @job
    def fine() -> None:
        pass

    on_connect(watch)
    lost = queues.default.add("lose_lease", max_attempts=1)
    with start_worker(concurrency=1):
        gate.wait_for_job()
        Run.objects.filter(pk=lost.pk).delete()
        others = [queues.default.add("fine") for _ in range(5)]
        gate.open()
        observer.wait_until_settled(*others)
        more = [queues.default.add("fine") for _ in range(5)]
        observer.wait_until_settled(*more)

    assert broken
    assert set(Run.objects.values_list("state", "attempt")) == {("completed", 1)}


def test_a_result_that_the_database_refuses_is_recorded_in_plain_words(work: Work, refuse: Refuse) -> None:
    refuse("CAST(result AS text) LIKE '%teapot%'")
    together = threading.Barrier(3, timeout=PATIENCE_SECONDS)

    @job
    def answer(text: str) -> str:
        together.wait()  # so that they are settled in one batch, as far as that can be arranged
        return text

    first = queues.default.add("answer", {"text": "a cup"})
    refused = queues.default.add("answer", {"text": "a teapot"})
    last = queues.default.add("answer", {"text": "a spoon"})

    work(concurrency=3)

    for run in (first, refused, last):
        run.refresh_from_db()
    assert [(run.state, run.attempt) for run in (first, refused, last)] == [("completed", 1)] * 3
    assert (first.result, refused.result, last.result) == ("a cup", None, "a spoon")
    assert refused.error == "What came of this attempt could not be stored: IntegrityError."
    assert refused.attempts.get().error == refused.error


def test_what_the_database_refuses_of_an_attempt_that_is_cut_off_costs_no_other_its_release(
    start_worker: StartWorker, refuse: Refuse
) -> None:
    gates = [Gate(), Gate()]

    @job
    def wait(number: int) -> None:
        gates[number].wait_to_pass()

    refused, other = (queues.default.add("wait", {"number": number}, tenant=str(number)) for number in range(2))
    refuse("tenant = '0' AND error LIKE '%was stopped%'")
    with start_worker(concurrency=2, grace_seconds=0) as worker:
        for gate in gates:
            gate.wait_for_job()
        worker.stop()
    for gate in gates:
        gate.open()
    join_threads()

    for run in (refused, other):
        run.refresh_from_db()
        assert (run.state, run.attempt, run.releases, run.crashes) == ("pending", 1, 1, 0)
    assert refused.error == "What came of this attempt could not be stored: IntegrityError."
    assert other.error == "The worker was stopped before the job had ended."


def test_what_the_database_will_not_store_in_any_words_is_left_to_the_reapers_and_stops_nobody(
    engine: Engine, refuse: Refuse, caplog: pytest.LogCaptureFixture
) -> None:
    refuse("state = 'completed' AND CAST(payload AS text) LIKE '%teapot%'")

    @job(delivery="at_most_once")
    def answer(text: str) -> str:
        return text

    refused = queues.default.add("answer", {"text": "a teapot"})
    stored = queues.default.add("answer", {"text": "a spoon"})
    leases = Leases()
    exchange = Exchange("me:1:a", ["default"], leases)
    claims = exchange.trade([], 2).claims
    attempts = [run_attempt(Assignment(claim, registry.get("default", "answer"))) for claim in claims]

    trade = exchange.trade([attempt for attempt in attempts if isinstance(attempt, Ended)], 0)
    exchange.release_unheard()

    assert [(attempt.claim.id, state) for attempt, state in trade.settled] == [(stored.id, State.COMPLETED)]
    assert len(leases) == 0
    refused.refresh_from_db()
    assert (refused.state, refused.attempt) == ("running", 1)
    assert f"Attempt 1 of run {refused.id} ended completed, which the database refuses to store" in caplog.text
    assert "Lease lost" not in caplog.text
    reap(engine, refused.id)
    refused.refresh_from_db()
    assert (refused.state, refused.reason) == ("dead_lettered", "lost")


@pytest.mark.postgresql
@pytest.mark.parametrize(("statement_timeout", "longest_seconds"), [("0", 0.05), ("1s", 3600)])
def test_a_run_that_somebody_has_locked_keeps_no_other_waiting(
    start_worker: StartWorker,
    observer: Recorder,
    gate: Gate,
    monkeypatch: pytest.MonkeyPatch,
    on_connect: OnConnect,
    caplog: Any,
    statement_timeout: str,
    longest_seconds: float,
) -> None:
    def lift(new: Any) -> None:
        if not threading.current_thread().name.startswith("test-worker-"):
            new.cursor().execute("SET statement_timeout = 0")  # they would not try again what a stall has ended

    on_connect(lift)
    options = connections.settings["default"]["OPTIONS"]
    monkeypatch.setitem(options, "options", f"-c statement_timeout={statement_timeout}")
    monkeypatch.setattr(lock_waits, "LONGEST_SECONDS", longest_seconds)

    @job
    def wait() -> None:
        gate.wait_to_pass()

    @job
    def note() -> None:
        pass

    locked, other = queues.default.add("wait"), queues.default.add("wait")
    with start_worker(concurrency=2):
        gate.wait_for_job()
        gate.wait_for_job()
        with transaction.atomic():
            Run.objects.select_for_update().get(pk=locked.pk)
            gate.open()
            observer.wait_until_settled(other)
            with ThreadPoolExecutor(1) as elsewhere:
                for _ in range(3):
                    added = elsewhere.submit(lambda: queues.default.add("note")).result()
                    observer.wait_until_settled(added)
                elsewhere.submit(connections.close_all)
            assert locked.id not in observer.settled_ids()
        observer.wait_until_settled(locked)

    assert set(Run.objects.values_list("state", "attempt")) == {("completed", 1)}
    assert caplog.text.count("canceling statement due to lock timeout") == 1
    assert "Lease lost" not in caplog.text


@pytest.mark.postgresql
def test_a_queue_that_somebody_has_locked_is_not_taken_for_a_database_that_does_not_answer(
    start_worker: StartWorker, observer: Recorder, monkeypatch: pytest.MonkeyPatch, settings: Any, caplog: Any
) -> None:
    settings.JOBQUEUE = {"worker": {"poll_seconds": 0.05}, "queues": {"default": {"concurrent_jobs": 1}}}
    monkeypatch.setattr(lock_waits, "LONGEST_SECONDS", 0.05)

    @job
    def note() -> None:
        pass

    run = queues.default.add("note")
    with ExitStack() as lock:
        lock.enter_context(Limiter().lock("default"))
        with start_worker():
            wait_until(lambda: "Somebody keeps a run or a queue locked: 0 results are kept" in caplog.text)
            lock.close()
            observer.wait_until_settled(run)

    assert "The database does not answer" not in caplog.text


@pytest.mark.postgresql
def test_a_run_that_is_gone_is_not_taken_for_locked() -> None:
    @job
    def note() -> None:
        pass

    gone = queues.default.add("note")
    exchange = Exchange("me:1:a", ["default"], Leases())
    [claim] = exchange.trade([], 1).claims
    ended = run_attempt(Assignment(claim, registry.get("default", "note")))
    assert isinstance(ended, Ended)
    exchange._locked._expected = {claim.ref}
    Run.objects.filter(pk=gone.pk).delete()

    assert exchange.trade([ended], 0).left == []


@pytest.mark.postgresql
def test_a_run_that_somebody_has_locked_is_waited_for_once_whatever_is_done_beside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lock_waits, "LONGEST_SECONDS", 0.05)

    @job
    def note() -> None:
        pass

    locked, other = queues.default.add("note"), queues.default.add("note")
    exchange = Exchange("me:1:a", ["default"], Leases())
    claims = {claim.id: claim for claim in exchange.trade([], 2).claims}
    ended = run_attempt(Assignment(claims[locked.id], registry.get("default", "note")))
    assert isinstance(ended, Ended)

    def settle() -> list[Ended]:
        try:
            with sessions_with(short_lock_waits):
                with pytest.raises(OperationalError, match="lock timeout"):
                    exchange.trade([ended], 0)
                exchange.release([claims[other.id]])
                return exchange.trade([ended], 0).left
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as worker, transaction.atomic():
        Run.objects.select_for_update().get(pk=locked.pk)
        assert worker.submit(settle).result() == [ended]

    other.refresh_from_db()
    assert (other.state, other.releases) == ("pending", 1)


@pytest.mark.postgresql
def test_a_run_that_somebody_has_locked_is_handed_back_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_waits, "LONGEST_SECONDS", 0.05)

    @job
    def note() -> None:
        pass

    locked, _ = queues.default.add("note"), queues.default.add("note")
    leases = Leases()
    exchange = Exchange("me:1:a", ["default"], leases)
    claims = exchange.trade([], 2).claims
    returns = Returns(exchange, Observer())
    returns.add(claims)

    def hand_back() -> bool:
        with sessions_with(short_lock_waits):
            try:
                return returns.hand_back()
            finally:
                connections.close_all()

    with ThreadPoolExecutor(1) as worker, transaction.atomic():
        Run.objects.select_for_update().get(pk=locked.pk)
        with pytest.raises(OperationalError, match="lock timeout"):
            worker.submit(hand_back).result()
        assert worker.submit(hand_back).result()
        assert [lease.claim.id for lease in leases.all()] == [locked.id]
    assert returns.hand_back()

    assert len(leases) == 0
    assert list(Run.objects.values_list("state", "releases")) == [("pending", 1)] * 2


TOO_MUCH = {
    "postgresql": """
        CREATE FUNCTION too_much() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE 'too much' USING ERRCODE = 'program_limit_exceeded'; END $$;
        CREATE TRIGGER too_much BEFORE UPDATE ON jobqueue_run FOR EACH ROW
        WHEN (NEW.tenant = 'refused' AND NEW.result IS NOT NULL) EXECUTE FUNCTION too_much()
    """,
    "mysql": """
        CREATE TRIGGER too_much BEFORE UPDATE ON jobqueue_run FOR EACH ROW
        BEGIN IF NEW.tenant = 'refused' AND NEW.result IS NOT NULL THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'too much'; END IF; END
    """,
}
NO_MORE = {
    "postgresql": "DROP TRIGGER IF EXISTS too_much ON jobqueue_run; DROP FUNCTION IF EXISTS too_much()",
    "mysql": "DROP TRIGGER IF EXISTS too_much",
}


@pytest.fixture
def too_much() -> Iterator[None]:
    """Let the database say of results of one tenant what Django takes for an OperationalError, as if it was away."""
    with connection.cursor() as cursor:
        cursor.execute(TOO_MUCH[connection.vendor])
        yield
        cursor.execute(NO_MORE[connection.vendor])


@pytest.mark.mysql
@pytest.mark.postgresql
def test_an_error_of_one_run_is_not_taken_for_an_outage(too_much: None, work: Work) -> None:
    @job
    def answer() -> int:
        return 42

    refused, other = queues.default.add("answer", tenant="refused"), queues.default.add("answer")

    work(concurrency=2)

    for run in (refused, other):
        run.refresh_from_db()
    assert (refused.state, refused.attempt, refused.result) == ("completed", 1, None)
    assert refused.error == "What came of this attempt could not be stored: OperationalError."
    assert (other.state, other.attempt, other.result) == ("completed", 1, 42)


def test_a_result_is_not_rewritten_because_the_database_went_away(engine: Engine) -> None:
    """It refuses a batch, and goes away before the results of that are written one by one."""

    @job
    def answer() -> int:
        return 42

    run = queues.default.add("answer")
    exchange = Exchange("me:1:a", ["default"], Leases())
    [claim] = exchange.trade([], 1).claims
    ended = run_attempt(Assignment(claim, registry.get("default", "answer")))
    assert isinstance(ended, Ended)
    errors = [OperationalError("gone"), DataError("no such thing")]

    def fail(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if errors and "failures = " in sql:
            raise errors.pop()
        return execute(sql, params, many, context)

    with connection.execute_wrapper(fail), pytest.raises(OperationalError):
        exchange.trade([ended], 0)
    exchange.trade([ended], 0)

    run.refresh_from_db()
    assert (run.state, run.result, run.error) == ("completed", 42, None)


@pytest.mark.usefixtures("quick_heartbeat")
def test_a_heartbeat_that_fails_for_any_reason_is_followed_by_the_next(
    start_worker: StartWorker, gate: Gate, engine: Engine, on_connect: OnConnect
) -> None:
    failed = threading.Event()

    def watch(connection: Any) -> None:
        def fail(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            if sql == engine.RENEW and not failed.is_set():  # type: ignore[attr-defined]
                failed.set()
                raise ZeroDivisionError
            return execute(sql, params, many, context)

        if threading.current_thread().name == "jobqueue-heartbeat":
            connection.execute_wrappers.append(fail)

    @job
    def wait() -> None:
        gate.wait_to_pass()

    on_connect(watch)
    run = queues.default.add("wait")
    with start_worker():
        gate.wait_for_job()
        assert failed.wait(PATIENCE_SECONDS)
        lease_until = Run.objects.get(pk=run.pk).lease_until
        wait_until(lambda: Run.objects.filter(pk=run.pk, lease_until__gt=lease_until).exists())
        gate.open()


@pytest.mark.mysql
@pytest.mark.postgresql
def test_a_lease_that_others_kept_from_being_renewed_does_not_wait_for_the_next_heartbeat(engine: Engine) -> None:
    @job
    def answer() -> None: ...

    run = queues.default.add("answer")
    leases = Leases()
    [lease] = Exchange("me:1:a", ["default"], leases).trade([], 1).leases
    asked: list[Ref] = []
    heartbeat = Heartbeat(
        "me:1:a",
        leases,
        queues={"default": None},
        concurrency=1,
        interrupt=lambda ref, why: asked.append(ref),
        prepare=lambda number: None,
    )

    def act(method: str) -> bool:
        try:
            getattr(heartbeat, method)()
        finally:
            connections.close_all()
        return lease.missed

    with ThreadPoolExecutor(1) as pool:
        end_lease(run.id)
        with transaction.atomic():
            Run.objects.filter(pk=run.pk).update(cancel_requested_at=timezone.now())
            assert pool.submit(act, "_beat").result(timeout=PATIENCE_SECONDS)
            assert pool.submit(act, "_look_for_lost").result(timeout=PATIENCE_SECONDS)
        assert asked == []
        assert not pool.submit(act, "_look_for_lost").result(timeout=PATIENCE_SECONDS)

    assert asked == [lease.claim.ref]
    assert engine.lost("default") == []


@pytest.mark.usefixtures("quick_heartbeat")
def test_the_heartbeat_extends_the_lease_of_a_running_run(work: Work, engine: Engine) -> None:
    leases: list[datetime] = []

    @job(max_attempts=1)
    def watch_lease(run: RunContext) -> None:
        for _ in range(3000):
            until = Run.objects.values_list("lease_until", flat=True).get(pk=run.id)
            if until is not None and until not in leases:
                leases.append(until)
            if len(leases) >= 4:
                return
            threading.Event().wait(0.01)

    run = queues.default.add("watch_lease")
    before = engine.now()

    work()

    run.refresh_from_db()
    assert (run.state, run.attempt) == ("completed", 1)
    assert leases == sorted(leases)
    assert len(leases) == 4
    # The third renewal was due after two intervals; how late it came is for the machine to say.
    assert leases[-1] - before > timedelta(seconds=30 + 2 * 30 / heartbeat.BEATS_PER_LEASE)


@pytest.mark.slow
@pytest.mark.usefixtures("quick_heartbeat")
def test_a_job_longer_than_its_lease_runs_once(
    start_worker: StartWorker, observer: Recorder, gate: Gate, engine: Engine, settings: Any
) -> None:
    settings.JOBQUEUE = {"worker": {"lease_seconds": 8, "poll_seconds": 0.05}}
    starts = []

    @job
    def take_long(run: RunContext) -> None:
        starts.append(run.attempt)
        gate.wait_to_pass()

    run = queues.default.add("take_long")

    elsewhere = Recorder()
    with start_worker() as first, start_worker(observer=elsewhere) as second:
        gate.wait_for_job()
        first_end = engine.now() + timedelta(seconds=8)
        wait_until(lambda: engine.now() > first_end)
        for worker in (first, second):
            worker.chores.wait_for_turns(3)
        gate.open()
        wait_until(lambda: not Run.objects.live().exists())

    run.refresh_from_db()
    assert starts == [1]
    assert (run.state, run.attempt, run.crashes) == ("completed", 1, 0)
    assert observer.lost + elsewhere.lost == []


def test_a_worker_that_slept_past_its_leases_does_not_take_its_runs_from_itself(
    start_worker: StartWorker, observer: Recorder, gate: Gate
) -> None:
    starts = []

    @job
    def wait(run: RunContext) -> None:
        starts.append(run.attempt)
        gate.wait_to_pass()

    run = queues.default.add("wait")
    with start_worker(concurrency=2) as worker:
        gate.wait_for_job()
        end_lease(run.id)
        worker.chores.wait_for_turns(2)
        gate.open()
        observer.wait_until_settled(run)

    run.refresh_from_db()
    assert starts == [1]
    assert (run.state, run.attempt, run.crashes) == ("completed", 1, 0)


@pytest.mark.usefixtures("quick_heartbeat")
def test_a_worker_is_listed_while_it_works(start_worker: StartWorker, gate: Gate, settings: Any) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {}}}
    rows: list[WorkerRow] = []

    @job
    def look(name: str) -> None:
        gate.wait_to_pass()
        for _ in range(3000):
            rows.extend(WorkerRow.objects.filter(name=name))  # the job may be faster than the first heartbeat
            if rows and rows[-1].running == 1 and rows[-1].heartbeat_at > rows[0].heartbeat_at:
                return
            threading.Event().wait(0.01)

    before = timezone.now()
    with start_worker("default", "mail", concurrency=3, slots={"mail": 2}) as worker:
        queues.default.add("look", {"name": worker.worker.name})
        gate.wait_for_job()
        gate.open()

    row = rows[-1]
    assert (row.queues, row.concurrency, row.namespace, row.running) == (["default", "mail"], 3, "default", 1)
    assert row.slots == {"mail": 2}
    assert before - timedelta(seconds=1) <= row.started_at < row.heartbeat_at
    assert row.name.count(":") == 2
    wait_until(lambda: not WorkerRow.objects.exists())


def test_every_worker_has_a_name_of_its_own(start_worker: StartWorker) -> None:
    first, second = start_worker(), start_worker()

    assert first.worker.name != second.worker.name


def test_the_runs_of_a_worker_that_is_not_listed_any_more_are_found(work: Work, lose: Lose) -> None:
    @job
    def note() -> None:
        pass

    run = queues.default.add("note")
    lose()
    queues.default.pause(actor="ann")  # no other attempt follows
    assert not WorkerRow.objects.exists()

    work()

    run.refresh_from_db()
    assert (run.state, run.crashes) == ("pending", 1)
