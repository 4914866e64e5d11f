"""What is told of runs outside of workers: after the commit, once, and at no cost where nobody listens."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from dataclasses import FrozenInstanceError

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_jobqueue import operations, signals
from django_jobqueue.engines import engine_for
from django_jobqueue.models import Run
from django_jobqueue.queue import Queue
from django_jobqueue.signals import RunCancelled, RunEnqueued
from tests.front.conftest import failing_transaction
from tests.listening import Listener, received_by, waiting_events

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def no_carrier() -> Iterator[None]:
    yield
    signals.carry(None)


def test_a_run_is_told_of_when_it_is_committed(mail: Queue, listener: Listener) -> None:
    with transaction.atomic():
        run = mail.add("send", delay_seconds=60)
        before = listener.of(run)

    [event] = listener.of(run)
    assert before == []
    assert isinstance(event, RunEnqueued)
    assert (event.key, event.version, event.namespace) == ("job.enqueued", 1, "default")
    assert (event.queue, event.job, event.state, event.attempt) == ("mail", "send", "pending", 0)
    assert (event.run_at, event.replay_of) == (run.run_at, None)
    assert abs((timezone.now() - event.at).total_seconds()) < 60


def test_outside_of_a_transaction_it_is_told_of_at_once(mail: Queue, listener: Listener) -> None:
    run = mail.add("send")

    assert listener.keys(run) == ["enqueued"]


def test_of_a_run_that_is_rolled_back_nothing_is_told(mail: Queue, listener: Listener) -> None:
    with failing_transaction():
        mail.add("send")
        mail.bulk_add([{"job": "send"}])

    with transaction.atomic():
        with failing_transaction():
            mail.add("send")
        kept = mail.add("send")

    assert [event.run_id for event in listener.events] == [kept.pk]


def test_of_many_runs_each_is_told_of_without_a_query_more(mail: Queue, listener: Listener) -> None:
    listener.disconnect()
    with CaptureQueriesContext(connection) as unheard:
        mail.bulk_add([{"job": "send"} for _ in range(50)])
    listener.connect()
    with CaptureQueriesContext(connection) as heard:
        ids = mail.bulk_add([{"job": "send"} for _ in range(50)])

    assert len(heard) == len(unheard)

    assert [event.run_id for event in listener.events] == ids
    assert {event.key for event in listener.events} == {"job.enqueued"}


def test_where_nobody_listens_nothing_waits_for_the_commit(mail: Queue) -> None:
    with transaction.atomic():
        run = mail.add("send")
        mail.bulk_add([{"job": "send"}])
        operations.cancel(run.pk, actor="ana")
        waiting = waiting_events()

    assert waiting == []


def test_an_event_cannot_be_changed_and_has_no_payload(mail: Queue, listener: Listener) -> None:
    run = mail.add("send", {"to": "secret@example.com"})

    [event] = listener.of(run)
    with pytest.raises(FrozenInstanceError):
        event.queue = "other"
    assert "secret" not in repr(event)


def test_a_pending_run_that_is_cancelled_is_told_of_once(mail: Queue, listener: Listener) -> None:
    run = mail.add("send")
    with transaction.atomic():
        operations.cancel(run.pk, actor="ana")
        before = listener.keys(run)
    operations.cancel(run.pk, actor="ana")

    _, event = listener.of(run)
    assert before == ["enqueued"]
    assert isinstance(event, RunCancelled)
    assert (event.key, event.state, event.reason, event.worker) == ("job.cancelled", "cancelled", "cancelled", None)


def test_a_running_run_that_is_asked_to_cancel_is_not_told_of_before_it_ends(mail: Queue, listener: Listener) -> None:
    run = mail.add("send")
    engine_for("default").claim("default", "mail", worker="a:1:b", limit=1, lease_seconds=30)

    assert operations.cancel(run.pk, actor="ana")

    assert listener.keys(run) == ["enqueued"]


def test_a_replay_is_told_of_as_a_new_run(mail: Queue, listener: Listener) -> None:
    old = mail.add("send")
    operations.cancel(old.pk, actor="ana")

    new = operations.replay(old.pk, actor="ana")

    [event] = listener.of(new)
    assert (event.key, event.replay_of) == ("job.enqueued", old.pk)
    assert listener.keys(old) == ["enqueued", "cancelled"]


def test_a_receiver_that_raises_is_logged_and_breaks_nothing(
    mail: Queue, listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(**_: object) -> None:
        raise RuntimeError("no mail server")

    with received_by(broken, signals.run_enqueued), transaction.atomic():
        run = mail.add("send")

    assert Run.objects.filter(pk=run.pk).exists()
    assert listener.keys(run) == ["enqueued"]
    assert [(record.levelno, "no mail server" in record.getMessage()) for record in caplog.records] == [
        (logging.ERROR, True)
    ]


def test_a_receiver_whose_failure_django_cannot_log_is_logged_by_us(
    mail: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(word: str, **_: object) -> None:
        raise RuntimeError(word)

    receiver = functools.partial(broken, "no mail server")  # it has no __qualname__
    with received_by(receiver, signals.run_enqueued):
        mail.add("send")

    [record] = caplog.records
    assert record.getMessage() == "A receiver of job.enqueued failed."
    assert "no mail server" in caplog.text


def test_an_async_receiver_hears_of_it_too_also_from_async_code(mail: Queue) -> None:
    heard = []

    async def receive(*, event: RunEnqueued, **_: object) -> None:
        heard.append(event.run_id)

    with received_by(receive, signals.run_enqueued):
        run = mail.add("send")
        other = async_to_sync(mail.aadd)("send")

    assert heard == [run.pk, other.pk]


def test_a_thread_can_leave_the_sending_to_another(mail: Queue, listener: Listener) -> None:
    carried: list[signals.Event] = []
    signals.carry(carried.extend)
    run = mail.add("send")
    told = listener.keys(run)
    signals.carry(None)

    signals.send(carried)

    assert (told, listener.keys(run)) == ([], ["enqueued"])
