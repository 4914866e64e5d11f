"""``okay_to_run``: a job may look before it is started, and be put back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest
from django.utils import timezone

from django_jobqueue import Fail, RunContext, job, queues
from django_jobqueue.errors import ConfigError
from django_jobqueue.jobs import registry
from django_jobqueue.models import Attempt, Run
from tests.listening import Listener
from tests.worker.bench import PATIENCE_SECONDS, Recorder, wait_until
from tests.worker.conftest import AroundStatements, StartWorker, Work
from tests.worker.moments import took

pytestmark = pytest.mark.django_db(transaction=True)


def seconds_until(run: Run) -> float:
    return (run.run_at - timezone.now()).total_seconds()


def is_open(payload: Mapping[str, Any], run: RunContext) -> bool:
    return bool(payload["open"])


async def is_open_async(payload: Mapping[str, Any], run: RunContext) -> bool:
    await asyncio.sleep(0)
    return is_open(payload, run)


def test_a_run_that_is_refused_is_put_back_as_if_nothing_had_been(work: Work, observer: Recorder) -> None:
    @job(max_attempts=1, preflight={"okay_to_run": is_open, "requeue_delay_seconds": 500})
    def serve(*, open: bool) -> str:
        return "served"

    refused = queues.default.add("serve", {"open": False})
    served = queues.default.add("serve", {"open": True})

    work()

    refused.refresh_from_db()
    assert (refused.state, refused.releases, refused.failures, refused.snoozes, refused.error) == (
        "pending",
        1,
        0,
        0,
        None,
    )
    assert 400 < seconds_until(refused) <= 500
    assert list(Attempt.objects.values_list("run_id", flat=True)) == [served.pk]
    assert observer.settled_ids() == [served.pk]


def test_a_run_that_is_refused_waits_ten_seconds_where_nothing_is_said(work: Work) -> None:
    @job(preflight={"okay_to_run": lambda payload, run: False})
    def serve() -> None:
        raise AssertionError("not open")

    run = queues.default.add("serve")

    with took() as moment:
        work()

    run.refresh_from_db()
    assert run.run_at in moment.and_seconds(10)


def test_a_run_is_asked_again_each_time_with_all_that_is_known_of_it(work: Work) -> None:
    asked: list[tuple[Any, ...]] = []

    def ask(payload: Mapping[str, Any], run: RunContext) -> bool:
        asked.append(
            (dict(payload), run.id, run.attempt, run.queue, run.job, dict(run.metadata), threading.get_ident())
        )
        return run.attempt == 3

    @job(preflight={"okay_to_run": ask, "requeue_delay_seconds": 0})
    def serve(table: int, run: RunContext) -> int:
        run.update_metadata(served=True)
        return threading.get_ident()

    run = queues.default.add("serve", {"table": 5}, metadata={"guest": "Ada"})

    work()

    run.refresh_from_db()
    assert (run.state, run.attempt, run.releases) == ("completed", 3, 2)
    assert [call[:-1] for call in asked] == [
        ({"table": 5}, run.pk, attempt, "default", "serve", {"guest": "Ada"}) for attempt in (1, 2, 3)
    ]
    assert asked[-1][-1] == run.result, "it is asked in the thread of the attempt"


def test_a_worker_that_drains_does_not_end_before_a_run_that_is_due_again(
    start_worker: StartWorker, settings: Any
) -> None:
    """It has looked for more, and found nothing, while the question was asked."""
    settings.JOBQUEUE = {"worker": {"poll_seconds": 60}}

    def ask(payload: Mapping[str, Any], run: RunContext) -> bool:
        if run.attempt == 1:
            wait_until(lambda: worker.worker._desk.is_idle)
        return run.attempt > 1

    @job(preflight={"okay_to_run": ask, "requeue_delay_seconds": 0})
    def serve() -> None:
        pass

    run = queues.default.add("serve")

    worker = start_worker(concurrency=2, drain=True)
    with worker:
        worker.wait()

    run.refresh_from_db()
    assert (run.state, run.attempt, run.releases) == ("completed", 2, 1)


@dataclass
class Order:
    due: date


def test_the_question_gets_the_payload_as_the_job_will_get_it(work: Work) -> None:
    asked: list[Any] = []

    def ask(payload: Any, run: RunContext) -> bool:
        asked.append((payload, run.payload))
        return True

    @job(preflight={"okay_to_run": ask})
    def serve(due: date, guests: int = 1) -> None:
        pass

    @job(preflight={"okay_to_run": ask})
    def deliver(payload: Order) -> None:
        pass

    queues.default.add("serve", {"due": date(2030, 5, 1)}, priority=1)
    queues.default.add("deliver", Order(due=date(2030, 5, 2)))

    work(concurrency=1)

    assert asked == [
        ({"due": date(2030, 5, 1)}, {"due": "2030-05-01"}),
        (Order(due=date(2030, 5, 2)), {"due": "2030-05-02"}),
    ]


@pytest.mark.parametrize("ask", [is_open, is_open_async], ids=["plain", "coroutine"])
def test_a_coroutine_may_be_asked_by_either_kind_of_function(work: Work, ask: Any) -> None:
    @job(preflight={"okay_to_run": ask, "requeue_delay_seconds": 500})
    async def serve(*, open: bool) -> str:
        return "served"

    refused = queues.default.add("serve", {"open": False})
    served = queues.default.add("serve", {"open": True})

    work()

    refused.refresh_from_db()
    served.refresh_from_db()
    assert (refused.state, refused.releases, served.state) == ("pending", 1, "completed")


def test_a_plain_job_cannot_be_asked_by_a_coroutine_function() -> None:
    @job(preflight={"okay_to_run": is_open_async})
    def serve() -> None:
        pass

    with pytest.raises(ConfigError, match=r'preflight\["okay_to_run"\]: .*is_open_async is a coroutine function'):
        registry.get("default", "serve")


def raise_fail(payload: Mapping[str, Any], run: RunContext) -> bool:
    raise Fail("closed for good")


@pytest.mark.parametrize(
    ("ask", "state", "error"),
    [
        (lambda payload, run: 1 / 0, "dead_lettered", "ZeroDivisionError: division by zero"),
        (raise_fail, "failed", "Fail: closed for good"),
        (lambda payload, run: None, "dead_lettered", "TypeError: "),
        (lambda payload, run: 1, "dead_lettered", "TypeError: "),
    ],
    ids=["error", "Fail", "None", "1"],
)
def test_a_question_that_fails_is_a_failure_of_the_attempt(work: Work, ask: Any, state: str, error: str) -> None:
    @job(max_attempts=1, preflight={"okay_to_run": ask})
    def serve() -> None:
        raise AssertionError("not asked")

    run = queues.default.add("serve")

    work()

    run.refresh_from_db()
    assert (run.state, run.failures, run.releases) == (state, 1, 0)
    assert (run.error or "").startswith(error)
    if error == "TypeError: ":
        assert (run.error or "").partition("must answer ")[2].startswith("True or False, got ")
    assert (run.attempts.get().traceback or "").count("test_okay_to_run.py") == (0 if error == "TypeError: " else 1)


def test_a_payload_that_does_not_fit_fails_the_run_before_it_is_asked(work: Work) -> None:
    @job(preflight={"okay_to_run": lambda payload, run: 1 / 0})
    def serve(table: int) -> None:
        pass

    run = queues.default.add("serve", {"table": 5})
    Run.objects.filter(pk=run.pk).update(payload={"chair": 5})

    work()

    run.refresh_from_db()
    assert (run.state, run.reason) == ("failed", "invalid_payload")


def test_a_run_that_is_refused_and_asked_to_cancel_is_cancelled(work: Work) -> None:
    def ask(payload: Mapping[str, Any], run: RunContext) -> bool:
        Run.objects.filter(pk=run.id).request_cancel()
        return False

    @job(preflight={"okay_to_run": ask})
    def serve() -> None:
        raise AssertionError("not open")

    run = queues.default.add("serve")

    work()

    run.refresh_from_db()
    assert (run.state, run.reason) == ("cancelled", "cancelled")


def test_an_at_most_once_run_that_is_refused_may_still_be_started(work: Work) -> None:
    @job(
        delivery="at_most_once",
        preflight={"okay_to_run": lambda payload, run: run.attempt == 2, "requeue_delay_seconds": 0},
    )
    def pay() -> str:
        return "paid"

    run = queues.default.add("pay")

    work()

    run.refresh_from_db()
    assert (run.state, run.result, run.attempt) == ("completed", "paid", 2)


def test_an_attempt_that_is_refused_never_started(work: Work, listener: Listener) -> None:
    @job(preflight={"okay_to_run": lambda payload, run: run.attempt == 3, "requeue_delay_seconds": 0})
    def serve() -> None:
        pass

    run = queues.default.add("serve")

    work()

    assert listener.keys(run) == ["enqueued", "started", "completed"]
    assert [event.attempt for event in listener.of(run)] == [0, 3, 3]


def test_an_attempt_whose_question_fails_did_start(work: Work, listener: Listener) -> None:
    @job(preflight={"okay_to_run": raise_fail})
    def serve() -> None:
        pass

    run = queues.default.add("serve")

    work()

    assert listener.keys(run) == ["enqueued", "started", "failed"]


def test_runs_that_are_refused_together_are_put_back_together(
    start_worker: StartWorker, around_statements: AroundStatements, engine: Any
) -> None:
    """All the others are refused while the first one is put back."""
    releasing = threading.Event()
    releases = 0

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal releases
        if sql == engine.RELEASE:
            releases += 1
            releasing.set()
            if releases == 1:
                wait_until(lambda: worker.worker._desk._inbox.qsize() == 19)
        return execute(sql, params, many, context)

    def ask(payload: Mapping[str, Any], run: RunContext) -> bool:
        assert payload["first"] or releasing.wait(PATIENCE_SECONDS)
        return False

    @job(preflight={"okay_to_run": ask, "requeue_delay_seconds": 500})
    def serve(*, first: bool) -> None:
        raise AssertionError("not open")

    around_statements(note)
    queues.default.bulk_add([{"job": "serve", "payload": {"first": number == 0}} for number in range(20)])

    worker = start_worker(concurrency=20, drain=True)
    with worker:
        worker.wait()

    assert set(Run.objects.values_list("state", "releases")) == {("pending", 1)}
    assert releases == 2
