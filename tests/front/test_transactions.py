"""The caller's transaction is the run's transaction: what commits together is added together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth.models import Group
from django.db import Error, IntegrityError, connection, connections, transaction
from django.test import override_settings
from pytest_django import Settings

from django_jobqueue import queues
from django_jobqueue.models import Run
from django_jobqueue.operations.runs import CHUNK
from django_jobqueue.queue import Queue
from tests.front.conftest import failing_transaction

pytestmark = pytest.mark.django_db(transaction=True)

Add = Callable[[Queue], object]


def one(queue: Queue) -> object:
    return queue.add("send")


def many(queue: Queue) -> object:
    return queue.bulk_add([{"job": "send"}] * (CHUNK + 1))


both = pytest.mark.parametrize(("add", "count"), [(one, 1), (many, CHUNK + 1)], ids=["add", "bulk_add"])


@pytest.fixture
def seen_elsewhere() -> Iterator[Callable[[], int]]:
    """Count the runs that another connection sees."""
    with ThreadPoolExecutor(1) as elsewhere:
        yield lambda: elsewhere.submit(Run.objects.count).result()
        elsewhere.submit(connections.close_all).result()


@both
def test_a_run_is_there_for_others_from_the_commit_on(
    mail: Queue, seen_elsewhere: Callable[[], int], add: Add, count: int
) -> None:
    with transaction.atomic():
        add(mail)
        before = seen_elsewhere()
        assert Run.objects.count() == count

    assert before == 0
    assert seen_elsewhere() == count


@both
def test_outside_of_a_transaction_a_run_is_there_at_once(
    mail: Queue, seen_elsewhere: Callable[[], int], add: Add, count: int
) -> None:
    add(mail)

    assert seen_elsewhere() == count


@both
def test_a_rollback_takes_the_run_with_it(mail: Queue, add: Add, count: int) -> None:
    with failing_transaction():
        Group.objects.create(name="readers")
        add(mail)

    assert not Group.objects.exists()
    assert not Run.objects.exists()


@both
def test_a_rollback_to_a_savepoint_takes_only_what_came_after_it(mail: Queue, add: Add, count: int) -> None:
    with transaction.atomic():
        before = mail.add("send")
        with failing_transaction():
            add(mail)
        after = mail.add("send")

    assert [*Run.objects.order_by("id")] == [before, after]


def test_a_rollback_without_an_error_takes_the_run_too(mail: Queue) -> None:
    with transaction.atomic():
        mail.add("send")
        transaction.set_rollback(True)

    assert not Run.objects.exists()


@both
def test_a_transaction_that_is_broken_takes_no_run(mail: Queue, add: Add, count: int) -> None:
    Group.objects.create(name="readers")

    with transaction.atomic():
        with pytest.raises(IntegrityError):
            Group.objects.create(name="readers")
        with pytest.raises(transaction.TransactionManagementError) as caught:
            add(mail)
        transaction.set_rollback(True)

    assert not Run.objects.exists()
    assert mail.add("send").pk
    [hint] = caught.value.__notes__
    assert hint.startswith("No run was added: the transaction in which it was to be added had failed before.")


def test_a_connection_that_was_closed_inside_of_a_transaction_takes_no_run(mail: Queue) -> None:
    with pytest.raises(Error), transaction.atomic():  # noqa: PT012
        mail.add("send", {"to": "before"})
        connection.close()
        mail.add("send", {"to": "after"})

    assert not Run.objects.exists()
    assert mail.add("send").pk


def test_a_transaction_that_begins_by_hand_is_the_callers_as_well(
    mail: Queue, seen_elsewhere: Callable[[], int]
) -> None:
    transaction.set_autocommit(False)
    try:
        mail.add("send")
        before = seen_elsewhere()
        transaction.rollback()
        mail.add("send", {"to": "n2"})
        transaction.commit()
    finally:
        transaction.set_autocommit(True)

    assert before == 0
    assert Run.objects.get().payload == {"to": "n2"}


# --- Two databases ---------------------------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(other_database: str, mail: Queue, settings: Settings) -> Queue:
    """The queue, where JOBQUEUE["database"] is not the default one."""
    settings.JOBQUEUE = {"database": other_database, "queues": {"mail": {}}}
    return mail


@both
def test_runs_are_in_the_database_of_the_settings(elsewhere: Queue, add: Add, count: int) -> None:
    add(elsewhere)

    assert Run.objects.using("other").count() == count
    assert not Run.objects.using("default").exists()


def test_a_run_that_comes_back_belongs_to_its_database(elsewhere: Queue) -> None:
    run = elsewhere.add("send", delay_seconds=5)

    run.refresh_from_db()
    assert run == Run.objects.using("other").get()
    assert [*elsewhere.runs()] == [run]
    assert run._state.db == "other"


@both
def test_runs_go_with_the_transaction_of_their_own_database_only(elsewhere: Queue, add: Add, count: int) -> None:
    with failing_transaction(using="other"):
        add(elsewhere)
    assert not Run.objects.using("other").exists()

    with failing_transaction(using="default"):
        add(elsewhere)
    assert Run.objects.using("other").count() == count


def test_one_bad_item_refuses_all_in_the_other_database_too(elsewhere: Queue) -> None:
    with pytest.raises(ValueError, match=f"^item {CHUNK}: 'job' is missing"):
        elsewhere.bulk_add([{"job": "send"}] * CHUNK + [{}])

    assert not Run.objects.using("other").exists()


class ToTheReplica:
    """Reads what it can from a database that has nothing."""

    def db_for_read(self, model: type, **hints: object) -> str:
        return "default"


def test_no_router_sends_the_question_for_runs_to_a_replica(elsewhere: Queue) -> None:
    run = elsewhere.add("send")

    with override_settings(DATABASE_ROUTERS=[ToTheReplica()]):
        assert [*elsewhere.runs("pending")] == [run]


def test_projects_that_share_a_database_do_not_see_the_runs_of_each_other(mail: Queue, settings: Settings) -> None:
    blue = {"queues": {"mail": {}}, "namespace": "blue"}
    settings.JOBQUEUE = blue
    ours = mail.add("send")
    [another] = mail.bulk_add([{"job": "send"}])

    settings.JOBQUEUE = blue | {"namespace": "green"}
    theirs = mail.add("send")

    assert [*queues.mail.runs()] == [theirs]
    assert {run.pk: run.namespace for run in Run.objects.all()} == {
        ours.pk: "blue",
        another: "blue",
        theirs.pk: "green",
    }
