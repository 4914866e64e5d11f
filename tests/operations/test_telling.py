"""What operations tell of: one event for each run that they change, for all of them at once, and at no cost where nobody listens."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeAlias

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_jobqueue import operations, queues, signals
from django_jobqueue.engines import engine_for
from django_jobqueue.models import Run
from django_jobqueue.operations import RunFilter, batches
from django_jobqueue.operations.expiring import expire_some
from django_jobqueue.signals import Event, RunCancelled, RunEnqueued
from tests.listening import Listener, received_by, waiting_events
from tests.operations.conftest import MakeRun, row

pytestmark = pytest.mark.django_db(transaction=True)

Bulk: TypeAlias = Callable[[int], Callable[[], object]]
MAIL = RunFilter(queue="mail")


def cancelling(number: int) -> Callable[[], object]:
    Run.objects.bulk_create(row() for _ in range(number))
    return lambda: operations.cancel_many(MAIL, actor="ana")


def replaying(number: int) -> Callable[[], object]:
    Run.objects.bulk_create(row("failed") for _ in range(number))
    return lambda: operations.replay_many(MAIL, actor="ana")


def adding(number: int) -> Callable[[], object]:
    return lambda: queues.mail.bulk_add([{"job": "send"}] * number)


def expiring(number: int) -> Callable[[], object]:
    Run.objects.bulk_create(row(expires_at=timezone.now() - timedelta(hours=1)) for _ in range(number))
    return expire_some


BULK: list[tuple[Bulk, type[Event]]] = [
    (cancelling, RunCancelled),
    (replaying, RunEnqueued),
    (adding, RunEnqueued),
    (expiring, RunCancelled),
]


@pytest.fixture(autouse=True)
def one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH", 1000)


@pytest.mark.parametrize(("bulk", "kind"), BULK)
def test_each_of_many_runs_is_told_of_once_without_a_query_more(
    bulk: Bulk, kind: type[Event], listener: Listener
) -> None:
    def queries(number: int) -> int:
        listener.events.clear()
        call = bulk(number)
        with CaptureQueriesContext(connection) as captured:
            call()
        return len(captured)

    few = queries(5)
    many = queries(500)
    told = [event.run_id for event in listener.events]
    listener.disconnect()
    unheard = queries(500)
    listener.connect()

    assert few == many == unheard
    assert {type(event) for event in listener.events} <= {kind}
    assert len(told) == len(set(told)) == 500


@pytest.mark.parametrize(("bulk", "kind"), BULK)
def test_where_nobody_listens_no_event_is_made_and_nothing_waits_for_the_commit(
    bulk: Bulk, kind: type[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    make = kind.__init__

    def count(self: Any, **fields: Any) -> None:
        made.append(fields)
        make(self, **fields)

    monkeypatch.setattr(kind, "__init__", count)
    call = bulk(3)
    with transaction.atomic():
        call()
        waiting = waiting_events()
    unheard = len(made)
    call = bulk(3)
    with received_by(lambda **_: None, kind.signal):
        call()

    assert (unheard, waiting) == (0, [])
    assert len(made) == 3  # so it does count


@pytest.mark.parametrize(("bulk", "kind"), BULK)
def test_nothing_is_told_before_the_commit_nor_of_what_is_rolled_back(
    bulk: Bulk, kind: type[Event], listener: Listener
) -> None:
    call = bulk(3)

    with transaction.atomic():
        call()
        transaction.set_rollback(True)
    with transaction.atomic():
        with transaction.atomic():
            call()
            transaction.set_rollback(True)
        after_savepoint = list(listener.events)
        call()
        before_commit = list(listener.events)

    assert (after_savepoint, before_commit) == ([], [])
    assert len(listener.events) == 3


@pytest.mark.parametrize(("bulk", "kind"), BULK)
def test_a_receiver_that_raises_keeps_no_other_from_hearing_of_all(
    bulk: Bulk, kind: type[Event], caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[int] = []

    def broken(**_: object) -> None:
        raise RuntimeError("no mail server")

    def hear(*, event: signals.RunEvent, **_: object) -> None:
        heard.append(event.run_id)

    call = bulk(3)
    with received_by(broken, kind.signal), received_by(hear, kind.signal):
        call()

    assert len(set(heard)) == len(heard) == 3
    assert caplog.text.count("RuntimeError: no mail server") == 3


def test_of_running_runs_that_are_asked_to_cancel_and_of_a_second_call_nothing_is_told(
    make_run: MakeRun, listener: Listener
) -> None:
    pending, running, ended = make_run(), make_run("running"), make_run("completed")

    for _ in range(2):
        operations.cancel_many(MAIL, actor="ana")
        operations.cancel(pending.pk, actor="ana")
        operations.cancel(running.pk, actor="ana")

    assert [listener.keys(run) for run in (pending, running, ended)] == [["cancelled"], [], []]


def test_a_replay_tells_of_the_new_run_and_a_second_one_of_nothing(make_run: MakeRun, listener: Listener) -> None:
    old = make_run("failed")

    for _ in range(2):
        operations.replay_many(MAIL, actor="ana")
        operations.replay(old.pk, actor="ana")

    [event] = listener.events
    assert (event.key, event.replay_of) == ("job.enqueued", old.pk)


def test_of_what_is_purged_released_paused_or_put_off_nothing_is_told(make_run: MakeRun, listener: Listener) -> None:
    then = timezone.now() - timedelta(days=99)
    make_run("completed", created_at=then, finished_at=then)
    run = make_run()
    [claim] = engine_for("default").claim("default", "mail", worker="a", limit=1, lease_seconds=30)

    engine_for("default").release([claim.ref])
    operations.purge(actor="ana")
    operations.reschedule(run.pk, delay_seconds=60, actor="ana")
    operations.pause_queue("mail", actor="ana")
    operations.resume_queue("mail", actor="ana")

    assert listener.events == []
