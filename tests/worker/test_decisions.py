"""What a job may say by its ``run`` about what becomes of it, instead of returning or raising."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from django_jobqueue import Cancel, RunContext, Snooze, job, queues
from django_jobqueue.engines.base import Engine
from django_jobqueue.errors import AttemptEnded, InvalidRun
from django_jobqueue.jobs import registry
from django_jobqueue.models import Attempt, Run
from django_jobqueue.states import State
from django_jobqueue.worker.assignment import Assignment
from django_jobqueue.worker.exchange import Exchange
from django_jobqueue.worker.leases import Leases
from django_jobqueue.worker.runner import Ended, run_attempt
from tests.worker.bench import Gate, Recorder
from tests.worker.conftest import StartWorker, Work

pytestmark = pytest.mark.django_db(transaction=True)

AT_ONCE = {"mode": "fixed", "initial_seconds": 0}

Say = Callable[[RunContext], Any]


def seconds_until(run: Run) -> float:
    return (run.run_at - timezone.now()).total_seconds()


def worked(work: Work, say: Say, **options: Any) -> Run:
    """The run of a job that does what *say* does, after its attempt."""

    @job(**options)
    def speak(run: RunContext) -> object:
        return say(run)

    run = queues.default.add("speak")
    work()
    run.refresh_from_db()
    return run


@pytest.mark.parametrize("result", [None, 0, [], {"sent": 3}])
def test_a_job_may_complete_its_run_with_a_result(work: Work, result: object) -> None:
    run = worked(work, lambda run: run.completed(result))

    assert (run.state, run.reason, run.result) == ("completed", "returned", result)
    assert run.attempts.get().outcome == "completed"


def test_a_job_may_fail_its_run_in_words(work: Work) -> None:
    run = worked(work, lambda run: run.failed("no such\n customer\0"), max_attempts=5)

    assert (run.state, run.reason, run.failures) == ("failed", "job_failed", 1)
    assert run.error == "no such customer\ufffd"
    assert (run.attempts.get().outcome, run.attempts.get().traceback) == ("failed", None)


def test_a_job_may_fail_its_run_with_an_error_that_it_caught(work: Work) -> None:
    def ask() -> None:
        raise ConnectionError("refused")

    def say(run: RunContext) -> None:
        try:
            ask()
        except ConnectionError as error:
            run.failed(error)

    run = worked(work, say)

    assert (run.state, run.reason, run.error) == ("failed", "job_failed", "ConnectionError: refused")
    traceback = run.attempts.get().traceback or ""
    assert "in say" in traceback or ".say" in traceback
    assert traceback.rstrip().endswith("ConnectionError: refused")


def in_an_hour() -> datetime:
    return timezone.now() + timedelta(hours=1)


IN_AN_HOUR: dict[str, Say] = {
    "datetime": lambda run: run.requeue(in_an_hour()),
    "text": lambda run: run.requeue(in_an_hour().isoformat()),
    "by name": lambda run: run.requeue(next_run_at=in_an_hour()),
    "delay": lambda run: run.requeue(delay_seconds=3600),
}


@pytest.mark.parametrize("when", IN_AN_HOUR.values(), ids=IN_AN_HOUR)
def test_a_job_may_put_its_run_back_for_later(work: Work, when: Say) -> None:
    run = worked(work, when, max_attempts=1)

    assert (run.state, run.failures, run.snoozes, run.error) == ("pending", 0, 1, None)
    assert 3500 < seconds_until(run) <= 3600
    assert run.attempts.get().outcome == "snoozed"


@pytest.mark.parametrize("now", [(), ("now",)])
def test_a_run_that_is_put_back_without_a_time_is_due_at_once(work: Work, now: tuple[str, ...]) -> None:
    run = worked(work, lambda run: run.requeue(*now) if run.attempt < 3 else None)

    assert (run.state, run.attempt, run.snoozes) == ("completed", 3, 2)


def test_a_job_may_delete_its_run(work: Work, observer: Recorder) -> None:
    @job(backoff=AT_ONCE)
    def speak(run: RunContext) -> str:
        if run.attempt == 1:
            raise ValueError("not yet")
        run.delete()
        return "unseen"

    queues.default.add("speak")
    kept = queues.default.add("speak", delay_seconds=3600)

    work()

    assert list(Run.objects.values_list("pk", flat=True)) == [kept.pk]
    assert not Attempt.objects.exists()
    assert [(ended.settlement.outcome, state) for ended, state in observer.settled] == [
        ("retried", "pending"),
        ("completed", "completed"),
    ]


def test_a_coroutine_may_decide_too(work: Work) -> None:
    @job
    async def speak(run: RunContext) -> str:
        await sync_to_async(run.progress)(1, 2)
        run.requeue(delay_seconds=3600)
        return "unseen"

    run = queues.default.add("speak")

    work()

    run.refresh_from_db()
    assert (run.state, run.snoozes, run.result) == ("pending", 1, None)
    assert run.progress == {"done": 1, "total": 2, "message": ""}


# Of several, one counts.


def test_the_last_decision_wins_over_those_before_and_over_the_value_that_is_returned(work: Work) -> None:
    def say(run: RunContext) -> str:
        run.delete()
        run.failed("no")
        run.completed("yes")
        return "returned"

    run = worked(work, say)

    assert (run.state, run.result, run.error) == ("completed", "yes", None)


@pytest.mark.parametrize(
    ("error", "state", "outcome"),
    [
        (ValueError("no"), "dead_lettered", "dead_lettered"),
        (Snooze(delay_seconds=60), "pending", "snoozed"),
        (Cancel(), "cancelled", "cancelled"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("decide", [RunContext.completed, RunContext.delete], ids=["completed", "delete"])
def test_an_exception_wins_over_every_decision(
    work: Work, decide: Say, error: Exception, state: str, outcome: str
) -> None:
    def say(run: RunContext) -> None:
        decide(run)
        raise error

    run = worked(work, say, max_attempts=1)

    assert run.state == state
    assert run.attempts.get().outcome == outcome


def test_a_result_that_is_not_json_fails_the_run_as_if_it_had_been_returned(work: Work) -> None:
    run = worked(work, lambda run: run.completed(object()))

    assert (run.state, run.reason) == ("failed", "invalid_result")


NONSENSE: dict[str, Say] = {
    "failed: error must be text or an exception, got 5.": lambda run: run.failed(5),  # type: ignore[arg-type]
    "failed: error must be text or an exception, got None.": lambda run: run.failed(None),  # type: ignore[arg-type]
    "next_run_at: must be a datetime, ISO-8601 text": lambda run: run.requeue("soon"),
    "next_run_at: datetime.datetime(2030, 1, 1, 0, 0) has no ": lambda run: run.requeue(datetime(2030, 1, 1)),  # noqa: DTZ001
    "next_run_at: must be a moment, not a timedelta. Use delay_seconds.": lambda run: run.requeue(timedelta(1)),  # type: ignore[arg-type]
    "delay_seconds: must be from 0 to ten years, got -1.": lambda run: run.requeue(delay_seconds=-1),
    "requeue: give next_run_at or delay_seconds, not both.": lambda run: run.requeue("now", delay_seconds=1),
}


@pytest.mark.sqlite  # it is refused before a database hears of it
@pytest.mark.parametrize(("message", "say"), NONSENSE.items(), ids=NONSENSE)
def test_a_decision_that_makes_no_sense_is_refused_where_it_is_made(work: Work, say: Say, message: str) -> None:
    run = worked(work, say, max_attempts=1)

    assert (run.state, run.reason) == ("dead_lettered", "max_attempts")
    assert (run.error or "").startswith(f"InvalidRun: {message}")
    assert issubclass(InvalidRun, ValueError)


# After the job has returned, nothing more is taken.


LATE: dict[str, Say] = {
    "completed": lambda run: run.completed("late"),
    "failed": lambda run: run.failed("late"),
    "requeue": lambda run: run.requeue(),
    "delete": lambda run: run.delete(),
    "progress": lambda run: run.progress(9),
    "update_metadata": lambda run: run.update_metadata(late=True),
}


@pytest.mark.sqlite  # it is refused before a database hears of it
@pytest.mark.parametrize(("method", "say"), LATE.items(), ids=LATE)
@pytest.mark.parametrize("end", ["return", "raise"])
def test_what_comes_after_the_end_is_refused_and_changes_nothing(work: Work, method: str, say: Say, end: str) -> None:
    contexts: list[RunContext] = []

    def keep(run: RunContext) -> str:
        contexts.append(run)
        run.progress(1)
        run.update_metadata(early=True)
        if end == "raise":
            raise Cancel
        return "in time"

    run = worked(work, keep)
    [context] = contexts

    with pytest.raises(AttemptEnded, match=rf"^run\.{method}: attempt 1 of run {run.id} has ended"):
        say(context)

    before = Run.objects.values().get()
    work()
    assert Run.objects.values().get() == before
    assert (run.state, run.result) == (("cancelled", None) if end == "raise" else ("completed", "in time"))
    assert (context.metadata, run.metadata, run.progress) == (
        {"early": True},
        {"early": True},
        {"done": 1, "total": None, "message": ""},
    )


def test_a_thread_that_outlives_its_job_decides_nothing(work: Work) -> None:
    ended = threading.Event()
    told: list[BaseException] = []

    def linger(run: RunContext) -> None:
        ended.wait()
        try:
            run.failed("late")
        except AttemptEnded as error:
            told.append(error)

    threads: list[threading.Thread] = []

    def say(run: RunContext) -> str:
        threads.append(threading.Thread(target=linger, args=[run]))
        threads[0].start()
        return "in time"

    run = worked(work, say)
    ended.set()
    threads[0].join()

    assert (run.state, run.result) == ("completed", "in time")
    assert len(told) == 1


# Cancelling.


@pytest.mark.usefixtures("quick_heartbeat")
def test_a_job_sees_within_a_heartbeat_that_it_is_asked_to_cancel(
    start_worker: StartWorker, observer: Recorder, gate: Gate
) -> None:
    asked: list[bool] = []

    @job
    def wait(run: RunContext) -> None:
        asked.append(run.cancel_requested)
        gate.wait_to_pass()
        while not run.cancel_requested:
            pass
        raise Cancel("as you wish")

    run = queues.default.add("wait")
    with start_worker():
        gate.wait_for_job()
        assert Run.objects.filter(pk=run.pk).request_cancel() == 1
        gate.open()
        observer.wait_until_settled(run)

    run.refresh_from_db()
    assert asked == [False]
    assert (run.state, run.error) == ("cancelled", "Cancel: as you wish")


# Deleting is settling.


def test_the_run_of_a_stale_attempt_is_not_deleted(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    @job
    def speak(run: RunContext) -> None:
        run.delete()

    run = queues.default.add("speak")
    leases = Leases()
    exchange = Exchange("me:1:a", ["default"], leases)
    [claim] = exchange.trade([], 1).claims
    ended = run_attempt(Assignment(claim, registry.get("default", "speak")))
    assert isinstance(ended, Ended)
    engine.release([claim.ref])
    engine.claim("default", "default", worker="other:1:a", limit=1, lease_seconds=30)

    trade = exchange.trade([ended], 0)

    assert trade.settled == []
    assert "Lease lost, result dropped" in caplog.text
    run.refresh_from_db()
    assert (run.state, run.attempt) == ("running", 2)


def test_a_deletion_that_was_written_but_not_answered_is_settled(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    @job
    def speak(run: RunContext) -> None:
        run.delete()

    queues.default.add("speak")
    leases = Leases()
    exchange = Exchange("me:1:a", ["default"], leases)
    [claim] = exchange.trade([], 1).claims
    ended = run_attempt(Assignment(claim, registry.get("default", "speak")))
    assert isinstance(ended, Ended)
    engine.settle([ended.settlement])

    trade = exchange.trade([ended], 0)

    assert trade.settled == [(ended, State.COMPLETED)]
    assert caplog.text == ""
