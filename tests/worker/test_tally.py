"""What a worker's attempts came to is counted once each, and written down now and then, and at the end."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.db.models import Sum
from django.utils import timezone

from django_jobqueue import Cancel, Fail, Snooze, job, operations, queues
from django_jobqueue.models import Run, Stat
from django_jobqueue.worker.leases import Leases
from django_jobqueue.worker.tally import Tally
from tests.worker.bench import Gate, Recorder, wait_until
from tests.worker.conftest import Lose, StartWorker, Work

pytestmark = pytest.mark.django_db(transaction=True)


def counted() -> dict[str, int]:
    return dict(Stat.objects.values_list("outcome").annotate(number=Sum("count")))


def fine() -> None: ...


def broken() -> None:
    raise OSError("no disk")


def useless() -> None:
    raise Fail


def unwanted() -> None:
    raise Cancel


def early() -> None:
    raise Snooze(delay_seconds=3600)


LATER = {"mode": "fixed", "initial_seconds": 3600}
AT_ONCE = {"mode": "fixed", "initial_seconds": 0}


@pytest.mark.parametrize(
    ("function", "options", "outcomes"),
    [
        (fine, {}, {"completed": 1}),
        (broken, {"backoff": LATER}, {"retried": 1}),
        (broken, {"max_attempts": 2, "backoff": AT_ONCE}, {"retried": 1, "dead_lettered": 1}),
        (useless, {}, {"failed": 1}),
        (unwanted, {}, {"cancelled": 1}),
        (early, {}, {"snoozed": 1}),
    ],
)
def test_each_attempt_is_counted_as_what_it_came_to(
    work: Work, function: Callable[..., Any], options: dict[str, Any], outcomes: dict[str, int]
) -> None:
    job(name="note", **options)(function)
    queues.default.add("note")

    work()

    assert counted() == outcomes


@pytest.mark.parametrize(
    ("columns", "outcomes"),
    [
        ({}, {"crashed": 1}),
        ({"crashes": 2}, {"dead_lettered": 1}),
        ({"cancel_requested_at": timezone.now()}, {"cancelled": 1}),
    ],
)
def test_what_the_reaper_does_is_counted(
    work: Work, lose: Lose, columns: dict[str, Any], outcomes: dict[str, int]
) -> None:
    job(name="note")(fine)
    run = queues.default.add("note")
    lose()
    Run.objects.filter(pk=run.pk).update(**columns)
    queues.default.pause(actor="ann")  # no other attempt follows

    work()

    assert counted() == outcomes


def test_many_runs_make_few_rows(work: Work) -> None:
    job(name="note")(fine)
    queues.default.bulk_add([{"job": "note"} for _ in range(300)])

    work()

    assert counted() == {"completed": 300}
    assert Stat.objects.count() <= 10
    assert queues.default.stats().completed == 300
    assert all(row.minute.second == 0 and row.seconds == 60 for row in Stat.objects.all())


def test_it_is_counted_how_long_jobs_took(start_worker: StartWorker, gate: Gate, observer: Recorder) -> None:
    job(name="note")(gate.wait_to_pass)
    run = queues.default.add("note")

    with start_worker():
        gate.wait_for_job()
        gate.open()
        observer.wait_until_settled(run)

    [(ended, _)] = observer.settled
    assert Stat.objects.get().total_seconds == pytest.approx(ended.seconds)


def test_a_late_attempt_that_lost_its_lease_is_not_counted(start_worker: StartWorker, gate: Gate) -> None:
    job(name="note")(gate.wait_to_pass)
    run = queues.default.add("note")

    with start_worker() as worker:
        gate.wait_for_job()
        Run.objects.filter(pk=run.pk).update(attempt=2, worker="another:1:a")
        gate.open()
        worker.stop()

    assert counted() == {}


def test_a_worker_writes_while_it_works(
    start_worker: StartWorker, observer: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django_jobqueue.worker.tally.INTERVAL_SECONDS", 0.05)
    job(name="note")(fine)
    run = queues.default.add("note")

    with start_worker():
        observer.wait_until_settled(run)
        wait_until(lambda: counted() == {"completed": 1})

    assert counted() == {"completed": 1}


def test_what_could_not_be_written_is_written_later(lose: Lose) -> None:
    job(name="note")(fine)
    tally = Tally()
    queues.default.add("note")
    claim = lose()
    tally.cancelled([claim])

    def away(*_: Any) -> Any:
        raise OperationalError("gone")

    with connection.execute_wrapper(away), pytest.raises(OperationalError):
        tally.turn(Leases())
    tally.turn(Leases())
    tally.turn(Leases())

    assert counted() == {"cancelled": 1}


def test_an_operator_s_cancel_and_the_attempt_that_obeys_it_are_counted_once_each(
    start_worker: StartWorker, gate: Gate
) -> None:
    def fail_late() -> None:
        gate.wait_to_pass()
        raise OSError("no disk")

    job(name="note")(fail_late)
    running, waiting = queues.default.add("note"), queues.default.add("note", delay_seconds=3600)

    with start_worker() as worker:
        gate.wait_for_job()
        for run in (running, waiting):
            operations.cancel(run.pk, actor="ana")
        gate.open()
        worker.stop()

    assert counted() == {"cancelled": 2}


def test_a_worker_that_is_killed_takes_with_it_what_it_counted_in_six_seconds_at_most() -> None:
    tally = Tally()

    waits = []
    for _ in range(50):
        waits.append(tally.due_at - monotonic())
        tally.turn(Leases())

    assert max(waits) <= 6.0
