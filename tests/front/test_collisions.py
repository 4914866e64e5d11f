"""On MariaDB and MySQL what ``add()`` writes in a transaction of its own is written again when it has collided."""

from __future__ import annotations

import pytest
from django.db import OperationalError, transaction

from django_jobqueue import job
from django_jobqueue.models import IdempotencyKey, Run
from django_jobqueue.queue import Queue
from tests.listening import Listener
from tests.racing import colliding

pytestmark = [pytest.mark.mysql, pytest.mark.django_db(transaction=True)]

KEEP = "INTO jobqueue_idempotency_key"
REPLACE = "UPDATE `jobqueue_run`"


def test_a_run_with_an_idempotency_key_is_added_once(mail: Queue, listener: Listener) -> None:
    with colliding(KEEP, 1213, 1205):
        run = mail.add("send", idempotency_key="request 1")

    assert Run.objects.get() == run
    assert IdempotencyKey.objects.get().run_id == run.pk
    assert len(listener.events) == 1


def test_a_run_is_replaced_once(mail: Queue, listener: Listener) -> None:
    @job(queue="mail", unique="live", unique_key="to")
    def deliver(to: str, subject: str) -> None:
        """Deliver."""

    old = mail.add("deliver", {"to": "n1", "subject": "old"})
    with colliding(REPLACE, 1213, 1205):
        new = mail.add("deliver", {"to": "n1", "subject": "new"}, on_duplicate="replace")

    old.refresh_from_db()
    assert (old.state, old.reason) == ("cancelled", "replaced")
    assert set(Run.objects.live()) == {new}
    assert len(listener.events) == 3


def test_in_the_transaction_of_a_caller_it_is_his_to_repeat(mail: Queue) -> None:
    with colliding(KEEP, 1213), pytest.raises(OperationalError), transaction.atomic():
        mail.add("send", idempotency_key="request 1")

    assert not Run.objects.exists()
