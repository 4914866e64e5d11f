"""What a worker tells of: one event of each kind for each thing that happens, on every path, and never in its own way."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from django_jobqueue import Cancel, Fail, RunContext, Snooze, job, operations, queues, signals
from django_jobqueue.engines.base import Engine
from django_jobqueue.models import Run
from django_jobqueue.worker import announcer, pace
from tests.listening import Listener, received_by
from tests.worker.bench import Gate, Recorder, join_threads
from tests.worker.conftest import Lose, StartWorker, Work

pytestmark = pytest.mark.django_db(transaction=True)

AT_ONCE = {"mode": "fixed", "initial_seconds": 0}
IN_AN_HOUR = {"mode": "fixed", "initial_seconds": 3600, "jitter": 0}


def declare(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """Declare *function* as job ``note``."""
    return job(name="note", **options)(function)


def fine() -> str:
    return "fine"


def broken() -> None:
    raise OSError("no disk")


async def broken_async() -> None:
    raise OSError("no disk")


def useless() -> None:
    raise Fail("no use")


def unwanted() -> None:
    raise Cancel


def early() -> None:
    raise Snooze(delay_seconds=3600)


def fleeting(run: RunContext) -> None:
    run.delete()


def early_too(run: RunContext) -> None:
    run.requeue(delay_seconds=3600)


@pytest.mark.parametrize(
    ("function", "options", "told"),
    [
        (fine, {}, ["completed"]),
        (broken, {"backoff": IN_AN_HOUR}, ["retrying"]),
        (broken, {"max_attempts": 1}, ["failed", "dead_lettered"]),
        (broken_async, {"max_attempts": 1}, ["failed", "dead_lettered"]),
        (broken, {"max_attempts": 2, "backoff": AT_ONCE}, ["retrying", "started", "failed", "dead_lettered"]),
        (broken, {"delivery": "at_most_once"}, ["failed", "dead_lettered"]),
        (useless, {}, ["failed"]),
        (lambda: object(), {}, ["failed"]),  # no JSON
        (unwanted, {}, ["cancelled"]),
        (early, {}, []),
        (fleeting, {}, ["completed"]),
        (early_too, {}, []),
    ],
)
def test_each_end_of_an_attempt_is_told_of(
    work: Work, listener: Listener, function: Callable[..., Any], options: dict[str, Any], told: list[str]
) -> None:
    declare(function, **options)
    run = queues.default.add("note")

    work()

    assert listener.keys(run) == ["enqueued", "started", *told]


def test_an_event_says_all_there_is_to_know(work: Work, listener: Listener, observer: Recorder) -> None:
    declare(fine)
    run = queues.default.add("note")
    work()
    _, started, completed = listener.of(run)
    about = ("default", "default", "note", 1, observer.workers[0])

    assert (started.namespace, started.queue, started.job, started.attempt, started.worker) == about
    assert (started.key, started.state, started.run_at) == ("job.started", "running", run.run_at)
    assert (completed.namespace, completed.queue, completed.job, completed.attempt, completed.worker) == about
    assert (completed.key, completed.state, completed.outcome) == ("job.completed", "completed", "completed")
    assert (completed.error, 0 <= completed.seconds < 30) == (None, True)


def test_a_failure_is_told_of_with_its_reason(work: Work, listener: Listener) -> None:
    declare(broken, max_attempts=2, backoff=IN_AN_HOUR)
    run = queues.default.add("note")

    work()
    Run.objects.update(run_at=timezone.now())
    work()

    retrying, failed, dead_lettered = (event for event in listener.of(run) if hasattr(event, "error"))
    assert (retrying.outcome, retrying.state, retrying.attempt) == ("retried", "pending", 1)
    assert (retrying.error, retrying.run_at > timezone.now()) == ("OSError: no disk", True)
    assert (failed.key, failed.state, failed.outcome) == ("job.failed", "dead_lettered", "dead_lettered")
    assert (failed.reason, failed.error, failed.attempt) == ("max_attempts", "OSError: no disk", 2)
    assert (dead_lettered.key, dead_lettered.reason) == ("job.dead_lettered", "max_attempts")


def test_an_unknown_job_that_is_given_up_is_told_of(work: Work, listener: Listener) -> None:
    declare(fine)
    run = queues.default.add("note")
    Run.objects.filter(pk=run.pk).update(job="gone", unknown_since=timezone.now() - timedelta(hours=1))

    work()

    assert listener.keys(run) == ["enqueued", "failed"]


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({}, ["retrying"]),
        ({"crashes": 2}, ["failed", "dead_lettered"]),
        ({"delivery": "at_most_once"}, ["failed", "dead_lettered"]),
        ({"cancel_requested_at": timezone.now()}, ["cancelled"]),
        ({"cancel_requested_at": timezone.now(), "crashes": 2}, ["cancelled"]),
    ],
)
def test_what_the_reaper_does_is_told_of(
    work: Work, lose: Lose, listener: Listener, columns: dict[str, Any], told: list[str]
) -> None:
    declare(fine)
    run = queues.default.add("note")
    lose(worker="gone:1:a")
    Run.objects.filter(pk=run.pk).update(**columns)
    queues.default.pause(actor="ann")  # no other attempt follows

    work()

    assert listener.keys(run) == ["enqueued", *told]
    event = listener.of(run)[1]
    assert event.worker == "gone:1:a"
    if told[0] == "cancelled":
        assert event.reason == "cancelled"
    else:
        assert (event.outcome, event.seconds, "vanished" in event.error) == ("crashed", None, True)


def test_a_run_that_ends_well_though_asked_to_cancel_is_completed(
    start_worker: StartWorker, gate: Gate, listener: Listener
) -> None:
    declare(gate.wait_to_pass)
    run = queues.default.add("note")

    with start_worker():
        gate.wait_for_job()
        operations.cancel(run.pk, actor="ana")
        gate.open()
        listener.wait_for(lambda: len(listener.of(run)) == 3)

    assert listener.keys(run) == ["enqueued", "started", "completed"]


def test_a_run_that_would_be_tried_again_but_is_asked_to_cancel_is_cancelled(
    start_worker: StartWorker, gate: Gate, listener: Listener
) -> None:
    def fail_late() -> None:
        gate.wait_to_pass()
        raise OSError("no disk")

    declare(fail_late)
    run = queues.default.add("note")

    with start_worker():
        gate.wait_for_job()
        operations.cancel(run.pk, actor="ana")
        gate.open()
        listener.wait_for(lambda: len(listener.of(run)) == 3)

    assert listener.keys(run) == ["enqueued", "started", "cancelled"]


def test_a_run_that_would_be_released_but_is_asked_to_cancel_is_cancelled(
    work: Work, listener: Listener, engine: Engine
) -> None:
    declare(fine)
    run = queues.default.add("note")
    # As somebody who asks between the claim and the release.
    Run.objects.filter(pk=run.pk).update(job="of_tomorrow", cancel_requested_at=timezone.now())

    work()

    assert listener.keys(run) == ["enqueued", "cancelled"]
    assert listener.of(run)[1].worker is None


def test_a_run_that_was_not_started_in_time_is_cancelled_told_of_and_counted_once(
    work: Work, listener: Listener
) -> None:
    declare(fine)
    run, in_time = queues.default.add("note"), queues.default.add("note")
    later = queues.default.add("note", delay_seconds=3600)
    now = timezone.now()
    Run.objects.filter(pk=run.pk).update(expires_at=now - timedelta(seconds=1))
    Run.objects.filter(pk__in=[in_time.pk, later.pk]).update(expires_at=now + timedelta(hours=2))

    work()
    work()

    run.refresh_from_db()
    assert (run.state, run.reason, run.attempt) == ("cancelled", "expired", 0)
    assert listener.keys(run) == ["enqueued", "cancelled"]
    assert listener.of(run)[1].reason == "expired"
    assert [listener.keys(other)[-1] for other in (in_time, later)] == ["completed", "enqueued"]
    assert queues.default.stats().cancelled == 1


@pytest.mark.parametrize(("options", "told"), [({}, []), ({"delivery": "at_most_once"}, ["failed", "dead_lettered"])])
def test_what_becomes_of_attempts_that_outlast_the_grace_is_told_of(
    start_worker: StartWorker, gate: Gate, listener: Listener, options: dict[str, Any], told: list[str]
) -> None:
    declare(gate.wait_to_pass, **options)
    run = queues.default.add("note")

    with start_worker(grace_seconds=0) as worker:
        gate.wait_for_job()
        worker.stop()
    gate.open()
    join_threads()  # there was no time to wait until all is told

    assert listener.keys(run) == ["enqueued", "started", *told]


def test_a_late_attempt_whose_lease_was_lost_tells_of_nothing(
    start_worker: StartWorker, gate: Gate, listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    declare(gate.wait_to_pass)
    run = queues.default.add("note")

    with start_worker() as worker:
        gate.wait_for_job()
        Run.objects.filter(pk=run.pk).update(attempt=2, worker="another:1:a")
        gate.open()
        worker.stop()

    assert "Lease lost, result dropped" in caplog.text
    assert listener.keys(run) == ["enqueued", "started"]


def test_an_attempt_is_told_of_when_it_starts_and_not_when_it_is_claimed(
    start_worker: StartWorker, gate: Gate, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("SHORT_SECONDS", "AHEAD_SECONDS", "STALLED_SECONDS"):  # claim ahead at once, and wait for long
        monkeypatch.setattr(pace, limit, 3600.0)

    @job
    def wait() -> None:
        gate.wait_to_pass()

    declare(fine)
    running = queues.default.add("wait", priority=1)
    behind = queues.default.bulk_add([{"job": "note"} for _ in range(20)])

    with start_worker(concurrency=1):
        gate.wait_for_job()
        listener.wait_for(lambda: "started" in listener.keys(running))
        ahead = set(Run.objects.filter(pk__in=behind, state="running").values_list("pk", flat=True))
        started = {event.run_id for event in listener.events if event.key == "job.started"}
        gate.open()

    assert ahead
    assert not ahead & started


def test_events_of_many_runs_come_in_order_and_once_each(work: Work, listener: Listener) -> None:
    declare(fine)
    ids = queues.default.bulk_add([{"job": "note"} for _ in range(300)])

    work()

    assert {run_id: listener.keys(run_id) for run_id in ids} == {
        run_id: ["enqueued", "started", "completed"] for run_id in ids
    }


def test_slow_receivers_hold_no_run_up(
    start_worker: StartWorker, observer: Recorder, gate: Gate, listener: Listener
) -> None:
    declare(fine)

    def slow(**_: object) -> None:
        gate.wait_to_pass()

    with received_by(slow, signals.run_completed), start_worker() as worker:
        queues.default.add("note")
        gate.wait_for_job()
        others = [queues.default.add("note") for _ in range(20)]
        observer.wait_until_settled(*others)
        told = [event for event in listener.events if event.key == "job.completed"]
        gate.open()
        worker.stop()

    assert len(told) <= 1
    assert len([event for event in listener.events if event.key == "job.completed"]) == 21


def test_a_worker_that_stops_tells_all_within_its_grace(start_worker: StartWorker, observer: Recorder) -> None:
    declare(fine)
    runs = [queues.default.add("note") for _ in range(10)]
    heard: list[int] = []
    busy = threading.Event()

    def slow(*, event: signals.RunCompleted, **_: object) -> None:
        busy.wait(0.02)
        heard.append(event.run_id)

    with received_by(slow, signals.run_completed), start_worker() as worker:
        observer.wait_until_settled(*runs)
        worker.stop()

    assert sorted(heard) == [run.pk for run in runs]


def test_a_worker_waits_for_receivers_no_longer_than_its_grace(
    start_worker: StartWorker,
    observer: Recorder,
    gate: Gate,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("django_jobqueue.worker.shutdown.LAST_SECONDS", 0.05)
    declare(fine)
    runs = [queues.default.add("note") for _ in range(3)]

    def stuck(**_: object) -> None:
        gate.wait_to_pass()

    with received_by(stuck, signals.run_completed), start_worker(grace_seconds=0) as worker:
        observer.wait_until_settled(*runs)
        gate.wait_for_job()
        exit_code = worker.stop()
        gate.open()

    assert exit_code == 0
    assert "The worker ends before all receivers were told: 3 events are lost." in caplog.text


def test_events_that_no_receiver_could_keep_up_with_are_dropped_and_logged(
    work: Work,
    observer: Recorder,
    gate: Gate,
    start_worker: StartWorker,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(announcer, "MOST", 5)
    declare(fine)
    heard = []

    def stuck(*, event: signals.Event, **_: object) -> None:
        gate.wait_to_pass()
        heard.append(event)

    with received_by(stuck, signals.run_completed), start_worker() as worker:
        queues.default.add("note")
        gate.wait_for_job()
        observer.wait_until_settled(*[queues.default.add("note") for _ in range(9)])
        gate.open()
        worker.stop()

    assert len(heard) == 6
    [record] = [record for record in caplog.records if "too slow" in record.getMessage()]
    assert record.getMessage() == "Receivers of events are too slow: 5 wait, and further ones are dropped."


@pytest.mark.parametrize("error", [RuntimeError("no mail server"), SystemExit(1), KeyboardInterrupt()])
def test_a_receiver_that_raises_is_logged_and_the_next_event_is_sent(
    work: Work, listener: Listener, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    declare(fine)
    runs = [queues.default.add("note") for _ in range(2)]

    def broken_receiver(**_: object) -> None:
        raise error

    with received_by(broken_receiver, signals.run_started):
        work()

    assert [listener.keys(run)[-1] for run in runs] == ["completed", "completed"]
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2


def test_a_receiver_may_use_the_database_and_leave_a_transaction_open(work: Work, observer: Recorder) -> None:
    declare(fine)
    runs = [queues.default.add("note") for _ in range(2)]
    clean = []

    def careless(**_: object) -> None:
        clean.append(not connection.in_atomic_block)
        Run.objects.count()
        connection.set_autocommit(False)
        connection.in_atomic_block = True

    with received_by(careless, signals.run_completed):
        work()

    assert clean == [True] * len(runs)


def test_a_receiver_may_add_runs(work: Work, listener: Listener) -> None:
    declare(broken, max_attempts=1)
    job(name="tell")(lambda failed: None)
    run = queues.default.add("note")

    def tell(*, event: signals.RunDeadLettered, **_: object) -> None:
        queues.default.add("tell", {"failed": event.run_id})

    with received_by(tell, signals.run_dead_lettered):
        work()
        work()

    told = Run.objects.get(job="tell")
    assert told.payload == {"failed": run.pk}
    assert listener.keys(told) == ["enqueued", "started", "completed"]


def test_where_nobody_listens_no_thread_is_there_for_it(start_worker: StartWorker, observer: Recorder) -> None:
    declare(fine)
    run = queues.default.add("note")
    before = threading.enumerate()

    with start_worker():
        observer.wait_until_settled(run)
        names = {thread.name for thread in threading.enumerate() if thread not in before}

    assert "jobqueue-announcer" not in names


def test_after_a_worker_its_thread_sends_events_itself_again(work: Work, listener: Listener) -> None:
    declare(fine)
    work()

    run = queues.default.add("note", next_run_at=timezone.now() + timedelta(hours=1))

    assert listener.keys(run) == ["enqueued"]
