"""A worker that cannot renew its leases knows by its own clock when it must not trust them any more."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest
from django.db import OperationalError

from django_jobqueue import Cancel, Fail, RunContext, job, operations, queues
from django_jobqueue.engines.base import Ref
from django_jobqueue.jobs import registry
from django_jobqueue.worker import watchdog
from django_jobqueue.worker.assignment import Assignment
from django_jobqueue.worker.exchange import Exchange
from django_jobqueue.worker.leases import Leases
from django_jobqueue.worker.runner import Ended, Refused, run_attempt
from django_jobqueue.worker.self_fence import DOUBT_LEASES, END_LEASES, SelfFence
from django_jobqueue.worker.watchdog import Watchdog
from tests.worker.bench import PATIENCE_SECONDS, Gate, Recorder, WorkerThread, wait_until
from tests.worker.conftest import OnConnect, StartWorker

pytestmark = pytest.mark.django_db(transaction=True)

LEASE_SECONDS = 30.0
"""So long that none comes into doubt by itself: here their last renewal was as long ago as a test says."""


@pytest.fixture(autouse=True)
def long_leases(project: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.JOBQUEUE = {"worker": {"lease_seconds": LEASE_SECONDS, "poll_seconds": 0.05}}
    monkeypatch.setattr(watchdog, "LONGEST_SECONDS", 0.05)


def miss(worker: WorkerThread, leases: float) -> None:
    """Let the lease of the only run not have been renewed for so many times its length."""
    [lease] = worker.worker._leases.all()
    lease.renewed_at = monotonic() - leases * LEASE_SECONDS


@pytest.fixture(params=["fails", "hangs"])
def heartbeat_returns(request: pytest.FixtureRequest, on_connect: OnConnect) -> Callable[[], None]:
    """Let no heartbeat reach the database, until this is called."""
    back = threading.Event()

    def hinder(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if not back.is_set() and request.param == "fails":
            raise OperationalError("the network is down")
        assert back.wait(PATIENCE_SECONDS)
        return execute(sql, params, many, context)

    def watch(connection: Any) -> None:
        if threading.current_thread().name == "jobqueue-heartbeat":
            connection.execute_wrappers.append(hinder)

    on_connect(watch)
    return back.set


@pytest.mark.parametrize(
    ("options", "not_yet", "doubtful"),
    [({}, 1.5, 2.0), ({"concurrent_jobs": 1}, None, 0.8), ({"unique": "live"}, None, 0.8)],
    ids=["any", "limited", "unique"],
)
def test_a_job_is_asked_to_end_when_its_lease_is_in_doubt_and_its_run_starts_again_for_nothing(
    start_worker: StartWorker,
    observer: Recorder,
    heartbeat_returns: Callable[[], None],
    caplog: pytest.LogCaptureFixture,
    options: dict[str, Any],
    not_yet: float | None,
    doubtful: float,
) -> None:
    begun = threading.Event()

    @job(max_attempts=1, **options)
    async def wait(run: RunContext) -> str:
        begun.set()
        try:
            await asyncio.sleep(2 * PATIENCE_SECONDS if run.attempt == 1 else 0)
        finally:
            heartbeat_returns()
        return f"by attempt {run.attempt}"

    run = queues.default.add("wait")
    assert run is not None
    with start_worker() as worker:
        assert begun.wait(PATIENCE_SECONDS)
        if not_yet is not None:
            miss(worker, not_yet)
            wait_until(lambda: "nobody can say" in caplog.text)
        miss(worker, doubtful)
        observer.wait_for(lambda: len(observer.settled) == 2)

    run.refresh_from_db()
    assert (run.state, run.result) == ("completed", "by attempt 2")
    assert (run.failures, run.crashes, run.releases) == (0, 0, 1)
    assert [attempt.outcome for attempt in run.attempts.all()] == ["released", "completed"]
    told = [record.getMessage() for record in caplog.records if "in doubt" in record.getMessage()]
    assert len(told) == 1
    assert f"run {run.id} (default.wait)" in told[0]
    [seconds] = re.findall(r"not be renewed for (\S+) s", told[0])
    assert doubtful * LEASE_SECONDS <= float(seconds) < (doubtful + 1) * LEASE_SECONDS


@pytest.mark.parametrize(
    ("options", "doubtful"),
    [({}, 2.0), ({"concurrent_jobs": 1}, 0.8), ({"unique": "live"}, 0.8), ({"delivery": "at_most_once"}, 0.8)],
    ids=["any", "limited", "unique", "at most once"],
)
def test_no_job_is_asked_to_end_before_its_lease_is_in_doubt(
    settings: Any, options: dict[str, Any], doubtful: float
) -> None:
    settings.JOBQUEUE = {"worker": {"lease_seconds": 3600}}

    @job(**options)
    def wait() -> None:
        pass

    queues.default.add("wait")
    leases = Leases()
    exchange = Exchange("me:1:a", ["default"], leases)
    exchange.trade([], 1)
    [lease] = leases.all()
    asked: list[Ref] = []
    fence = SelfFence(leases, lambda ref, _: asked.append(ref), exchange.known_rules)

    lease.renewed_at = monotonic() - (doubtful - 0.05) * lease.seconds
    fence.look()
    assert asked == []

    lease.renewed_at = monotonic() - doubtful * lease.seconds
    fence.look()
    assert asked == [lease.claim.ref]


@pytest.mark.parametrize("person_cancels", [False, True])
def test_a_job_that_cancels_itself_when_it_is_asked_to_end_was_cancelled_only_if_a_person_did_so(
    start_worker: StartWorker, observer: Recorder, heartbeat_returns: Callable[[], None], person_cancels: bool
) -> None:
    begun = threading.Event()

    @job(concurrent_jobs=1)
    def wait(run: RunContext) -> str:
        begun.set()
        if run.attempt == 1:
            wait_until(lambda: run.cancel_requested)
            if person_cancels:
                operations.cancel(run.id, actor="ann")
            heartbeat_returns()
            raise Cancel("I was asked to end")
        return f"by attempt {run.attempt}"

    run = queues.default.add("wait")
    assert run is not None
    with start_worker() as worker:
        assert begun.wait(PATIENCE_SECONDS)
        miss(worker, DOUBT_LEASES)
        observer.wait_for(lambda: len(observer.settled) == (1 if person_cancels else 2))

    run.refresh_from_db()
    assert (run.state, run.result) == (("cancelled", None) if person_cancels else ("completed", "by attempt 2"))
    assert run.attempts.first().outcome == ("cancelled" if person_cancels else "released")  # type: ignore[union-attr]


def test_a_job_that_an_operator_has_limited_is_asked_to_end_before_its_lease_is_over() -> None:
    @job
    def wait() -> None:
        pass

    queues.default.add("wait")
    operations.set_limit("default", "concurrent_jobs", 1, actor="ana")
    leases = Leases()
    exchange = Exchange("me:1:a", ["default"], leases)
    exchange.trade([], 1)
    exchange.trade([], 1)
    [lease] = leases.all()
    lease.renewed_at -= DOUBT_LEASES * lease.seconds
    asked: list[Ref] = []

    SelfFence(leases, lambda ref, _: asked.append(ref), exchange.known_rules).look()

    assert asked == [lease.claim.ref]


def test_what_had_ended_before_its_lease_was_in_doubt_stays_as_it_was(
    start_worker: StartWorker, observer: Recorder, on_connect: OnConnect, caplog: pytest.LogCaptureFixture
) -> None:
    away, back = threading.Event(), threading.Event()

    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        beats = threading.current_thread().name == "jobqueue-heartbeat"
        if (beats or away.is_set()) and not back.is_set():
            raise OperationalError("the network is down")
        return execute(sql, params, many, context)

    def watch(connection: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            connection.execute_wrappers.append(refuse)

    @job(concurrent_jobs=1)
    def send() -> None:
        away.set()
        raise Fail("There is no such address.")

    on_connect(watch)
    run = queues.default.add("send")
    assert run is not None
    with start_worker() as worker:
        wait_until(lambda: any(lease.has_ended for lease in worker.worker._leases.all()))
        miss(worker, DOUBT_LEASES)
        wait_until(lambda: "Lease in doubt" in caplog.text)
        back.set()
        observer.wait_until_settled(run)

    run.refresh_from_db()
    assert (run.state, run.attempt, run.failures, run.releases) == ("failed", 1, 1, 0)
    assert run.error == "Fail: There is no such address."


def test_a_job_that_may_be_started_once_is_told_and_its_result_counts(
    start_worker: StartWorker,
    observer: Recorder,
    heartbeat_returns: Callable[[], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    begun = threading.Event()

    @job(delivery="at_most_once")
    def wait(run: RunContext) -> str:
        begun.set()
        wait_until(lambda: run.cancel_requested)
        heartbeat_returns()
        return "all the same"

    run = queues.default.add("wait")
    assert run is not None
    with start_worker() as worker:
        assert begun.wait(PATIENCE_SECONDS)
        miss(worker, DOUBT_LEASES)
        observer.wait_until_settled(run)

    run.refresh_from_db()
    assert (run.state, run.attempt, run.result) == ("completed", 1, "all the same")
    [seconds] = re.findall(r"not be renewed for (\S+) s in attempt", caplog.text)
    assert float(seconds) < END_LEASES * LEASE_SECONDS


def test_a_look_that_fails_keeps_the_others_from_nothing(caplog: pytest.LogCaptureFixture) -> None:
    looks = threading.Semaphore(0)

    def fail() -> None:
        raise ZeroDivisionError

    with Watchdog(fail, looks.release):
        for _ in range(2):
            assert looks.acquire(timeout=PATIENCE_SECONDS)

    assert "failed" in caplog.text


def test_a_job_without_a_limit_outlives_a_short_outage(
    start_worker: StartWorker,
    observer: Recorder,
    gate: Gate,
    heartbeat_returns: Callable[[], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked = []

    @job
    def wait(run: RunContext) -> None:
        gate.wait_to_pass()
        asked.append(run.cancel_requested)

    run = queues.default.add("wait")
    assert run is not None
    with start_worker() as worker:
        gate.wait_for_job()
        miss(worker, DOUBT_LEASES)
        wait_until(lambda: "nobody can say" in caplog.text)
        heartbeat_returns()
        gate.open()
        observer.wait_until_settled(run)

    run.refresh_from_db()
    assert (run.state, run.attempt, asked) == ("completed", 1, [False])
    assert caplog.text.count("nobody can say") == 1


def test_an_attempt_does_not_begin_when_its_lease_is_over() -> None:
    """As when this process was frozen after the claim: somebody else may have started the run meanwhile."""
    starts: list[int] = []

    @job
    def start(run: RunContext) -> None:
        starts.append(run.attempt)

    for _ in range(2):
        queues.default.add("start")
    late, held = Exchange("me:1:a", ["default"], Leases()).trade([], 2).leases
    late.renewed_at -= late.seconds

    late_end, held_end = (
        run_attempt(Assignment(lease.claim, registry.get("default", "start"), None, lease)) for lease in (late, held)
    )

    assert late_end == Refused(late.claim)
    assert isinstance(held_end, Ended)
    assert starts == [1]
