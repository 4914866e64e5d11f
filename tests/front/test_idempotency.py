"""A request that is made twice with the same idempotency key makes one run."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connections, transaction
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from django_jobqueue import job, queues
from django_jobqueue.errors import DuplicateRun, IdempotencyConflict
from django_jobqueue.models import IdempotencyKey, Run
from django_jobqueue.operations.runs import CHUNK
from django_jobqueue.queue import Queue
from tests.front.conftest import Columns, failing_transaction, send, statements
from tests.listening import Listener
from tests.racing import Race, racing, wait_for_the_lock
from tests.worker.bench import PATIENCE_SECONDS

pytestmark = pytest.mark.django_db

ADDERS = 8


@pytest.fixture
def race() -> Iterator[Race]:
    with racing(ADDERS) as race:
        yield race


# --- The same again --------------------------------------------------------------------------------------------------


def test_the_same_key_and_arguments_give_the_first_run_back(mail: Queue, columns: Columns) -> None:
    first = mail.add("send", {"to": "n1"}, idempotency_key="request 1")

    second = mail.add("send", {"to": "n1"}, idempotency_key="request 1")

    assert (first.added, second.added) == (True, False)
    assert columns(second) == columns(first) == columns(Run.objects.get())


@pytest.mark.parametrize("state", ["running", "completed", "failed", "dead_lettered", "cancelled"])
def test_the_first_run_comes_back_whatever_its_state(mail: Queue, state: str) -> None:
    first = mail.add("send", idempotency_key="a")
    now = timezone.now()
    end: dict[str, Any] = {"lease_until": now} if state == "running" else {"finished_at": now, "reason": "returned"}
    Run.objects.filter(pk=first.pk).update(state=state, **end)

    second = mail.add("send", idempotency_key="a")

    assert (second, second.state, second.added) == (first, state, False)


def test_what_tells_of_the_request_only_may_differ(mail: Queue) -> None:
    first = mail.add("send", idempotency_key="a", trace_id="t1", delay_seconds=60)

    assert mail.add("send", idempotency_key="a", trace_id="t2", metadata={"try": 2}, tags=["again"]) == first


@pytest.mark.parametrize(
    "other",
    [
        {"payload": {"to": "n2"}},
        {"priority": 5},
        {"max_attempts": 2},
        {"timeout_seconds": 5},
        {"tenant": "acme"},
        {"user": 7},
    ],
)
def test_other_arguments_are_a_conflict_that_names_the_first_run(mail: Queue, other: dict[str, Any]) -> None:
    first = mail.add("send", {"to": "n1"}, idempotency_key="a")

    with transaction.atomic():
        Group.objects.create(name="before")
        with pytest.raises(IdempotencyConflict) as caught:
            mail.add("send", **({"payload": {"to": "n1"}, "idempotency_key": "a"} | other))
        Group.objects.create(name="after")

    assert (caught.value.run_id, caught.value.code) == (first.pk, "idempotency_conflict")
    assert str(caught.value) == (
        f"The idempotency_key made run {first.pk}, of job 'send' of queue 'mail', from other arguments. "
        f"Use a key of its own for each request."
    )
    assert Group.objects.count() == 2
    assert Run.objects.get() == first


@pytest.mark.parametrize("key", ["A", "a ", "á", "aa"])
def test_keys_are_the_same_only_to_the_letter(mail: Queue, key: str) -> None:
    mail.add("send", idempotency_key="a")

    assert mail.add("send", idempotency_key=key).added


def test_keys_belong_to_their_job_and_queue_and_namespace(settings: Settings) -> None:
    added = []
    for namespace in ("blue", "green"):
        settings.JOBQUEUE = {"queues": {"mail": {}, "post": {}}, "namespace": namespace}
        for queue, name in [("mail", "send"), ("mail", "resend"), ("post", "send")]:
            job(queue=queue, name=name)(send)
            added.append(queues[queue].add(name, idempotency_key="a").added)

    assert added == [True] * 6


def test_a_key_is_kept_as_a_hash_only(mail: Queue) -> None:
    mail.add("send", {"to": "ann"}, idempotency_key="very secret")

    row = IdempotencyKey.objects.get()
    assert {len(row.key_hash), len(row.arguments_hash)} == {64}
    assert row.run_id == Run.objects.get().pk


# --- How long it is kept ---------------------------------------------------------------------------------------------


def test_a_key_is_remembered_for_a_week_or_as_the_settings_say(mail: Queue, settings: Settings) -> None:
    mail.add("send", idempotency_key="a")
    settings.JOBQUEUE = {"queues": {"mail": {}}, "idempotency_seconds": 60}
    mail.add("send", idempotency_key="b")

    week, minute = IdempotencyKey.objects.order_by("id")
    assert abs(week.expires_at - timezone.now() - timedelta(days=7)) < timedelta(minutes=1)
    assert abs(minute.expires_at - timezone.now() - timedelta(seconds=60)) < timedelta(minutes=1)


def test_a_key_whose_time_is_over_makes_another_run_even_from_other_arguments(mail: Queue) -> None:
    first = mail.add("send", {"to": "n1"}, idempotency_key="a")
    IdempotencyKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert IdempotencyKey.objects.expired().exists()

    second = mail.add("send", {"to": "n2"}, idempotency_key="a")

    assert second.added
    assert second != first
    assert mail.add("send", {"to": "n2"}, idempotency_key="a") == second
    assert not IdempotencyKey.objects.expired().exists()


def test_a_key_outlives_its_run_of_which_only_what_was_asked_is_known_then(mail: Queue) -> None:
    first = mail.add("send", {"to": "n1"}, idempotency_key="a")
    Run.objects.all().delete()

    again = mail.add("send", {"to": "n1"}, idempotency_key="a")

    assert (again.pk, again.queue, again.job, again.payload) == (first.pk, "mail", "send", {"to": "n1"})
    assert again.added is False
    assert repr(again) == f"<Run {first.pk}: mail.send>"
    with pytest.raises(Run.DoesNotExist):
        _ = again.state
    assert mail.bulk_add([{"job": "send", "payload": {"to": "n1"}, "idempotency_key": "a"}]) == [first.pk]
    assert not Run.objects.exists()


def test_a_rollback_frees_the_key(mail: Queue) -> None:
    with failing_transaction():
        mail.add("send", idempotency_key="a")

    assert not IdempotencyKey.objects.exists()
    assert mail.add("send", {"to": "n2"}, idempotency_key="a").added


def test_a_run_that_is_vetoed_or_refused_leaves_the_key_free(mail: Queue) -> None:
    job(queue="mail", name="ask", preflight={"on_before_add": lambda new: False})(send)
    job(queue="mail", name="once", unique="live")(send)
    mail.add("once")

    assert mail.add("ask", idempotency_key="a") is None
    with pytest.raises(DuplicateRun):
        mail.add("once", idempotency_key="a", on_duplicate="raise")

    assert not IdempotencyKey.objects.exists()


# --- With uniqueness -------------------------------------------------------------------------------------------------


def test_a_duplicate_of_a_unique_job_is_what_its_key_gives_back_from_then_on(mail: Queue) -> None:
    job(queue="mail", name="once", unique="live")(send)
    first = mail.add("once")
    assert mail.add("once", idempotency_key="a") == first
    mail.runs().cancel_pending()

    assert mail.add("once", idempotency_key="a") == first
    assert mail.add("once").added


def test_a_request_that_replaced_a_run_does_not_replace_another_when_it_comes_again(mail: Queue) -> None:
    job(queue="mail", name="once", unique="live")(send)
    mail.add("once")
    replacing: dict[str, Any] = {"idempotency_key": "a", "on_duplicate": "replace"}
    second = mail.add("once", **replacing)
    third = mail.add("once", on_duplicate="replace")

    assert mail.add("once", **replacing) == second
    assert mail.runs("pending").get() == third


# --- Many ------------------------------------------------------------------------------------------------------------


def test_a_batch_with_keys_takes_one_more_statement(
    mail: Queue, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    plain = [{"job": "send", "payload": {"to": str(n)}} for n in range(50)]
    keyed = [item | {"idempotency_key": str(n)} for n, item in enumerate(plain)]

    with django_assert_num_queries(statements(3, mysql=4)):
        mail.bulk_add(plain)
    with django_assert_num_queries(statements(6, mariadb=8, mysql=58)):  # and a savepoint
        ids = mail.bulk_add(keyed)
    with django_assert_num_queries(statements(8, mariadb=9, mysql=10)):  # tried, rolled back, and looked up
        assert mail.bulk_add(keyed) == ids
    with django_assert_num_queries(statements(11, mariadb=12, mysql=14)):  # and then the rest of it inserted
        assert mail.bulk_add([*keyed, plain[0]])[:-1] == ids


def test_items_with_the_same_key_are_one_run(mail: Queue) -> None:
    item = {"job": "send", "payload": {"to": "n1"}, "idempotency_key": "a"}

    ids = mail.bulk_add([{"job": "send"}, item, item, {"job": "send"}, item])

    assert ids[1] == ids[2] == ids[4]
    assert len(set(ids)) == Run.objects.count() == 3


@pytest.mark.parametrize("index", [1, CHUNK + 3])
def test_a_conflict_names_the_index_of_its_item(mail: Queue, index: int) -> None:
    first = mail.add("send", {"to": "n1"}, idempotency_key="a")
    items: list[dict[str, Any]] = [{"job": "send"}] * index
    items.append({"job": "send", "idempotency_key": "a"})

    with pytest.raises(IdempotencyConflict, match=rf"^item {index}: The idempotency_key made run {first.pk}, of job"):
        mail.bulk_add(items)

    assert Run.objects.get() == first


def test_a_conflict_may_be_with_an_item_before(mail: Queue) -> None:
    items = [{"job": "send", "payload": {"to": to}, "idempotency_key": "a"} for to in ("n1", "n2")]

    with pytest.raises(IdempotencyConflict, match=r"^item 1: The idempotency_key made an item before it, of job"):
        mail.bulk_add(items)

    assert not Run.objects.exists()


def test_a_duplicate_in_a_batch_with_keys_is_named_by_its_own_index(mail: Queue) -> None:
    job(queue="mail", name="once", unique="live")(send)
    mail.add("once")
    same = {"job": "send", "idempotency_key": "a"}

    with pytest.raises(DuplicateRun, match=r"^item 3: Job 'once'"):
        mail.bulk_add([same, same, same, {"job": "once", "on_duplicate": "raise"}])


def test_events_tell_of_what_was_added_and_of_nothing_else(
    mail: Queue, listener: Listener, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        first = mail.add("send", idempotency_key="a")
        mail.add("send", idempotency_key="a")
        _, second = mail.bulk_add([{"job": "send", "idempotency_key": "a"}, {"job": "send", "idempotency_key": "b"}])

    assert [(event.key, event.run_id) for event in listener.events] == [
        ("job.enqueued", first.pk),
        ("job.enqueued", second),
    ]


# --- At the same moment ----------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_of_all_who_give_the_same_key_one_adds_the_run_and_all_get_it(mail: Queue, race: Race) -> None:
    for n in range(10):
        runs = race(lambda _, key=str(n): mail.add("send", {"to": key}, idempotency_key=key))  # type: ignore[misc]

        assert sorted(run.added for run in runs) == [False] * (ADDERS - 1) + [True]
        assert {run.pk for run in runs} == {Run.objects.get(payload__to=str(n)).pk}


@pytest.mark.django_db(transaction=True)
def test_a_key_whose_time_is_over_is_taken_by_one(mail: Queue, race: Race) -> None:
    mail.add("send", {"to": "old"}, idempotency_key="a")
    IdempotencyKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    runs = race(lambda _: mail.add("send", {"to": "new"}, idempotency_key="a"))

    assert len({run.pk for run in runs}) == 1
    assert Run.objects.filter(payload__to="new").count() == 1


def add_elsewhere(mail: Queue) -> Run:
    """Add on a connection that is closed again."""
    try:
        run: Run = mail.add("send", idempotency_key="a")
        return run
    finally:
        connections.close_all()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("commits", [True, False])
def test_whoever_waits_for_a_rival_gets_its_run_or_adds_one(mail: Queue, commits: bool) -> None:
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            ours = mail.add("send", idempotency_key="a")
            elsewhere = pool.submit(add_elsewhere, mail)
            wait_for_the_lock(elsewhere)
            assert not elsewhere.done()
            transaction.set_rollback(not commits)
        theirs = elsewhere.result(PATIENCE_SECONDS)

    assert theirs.added is not commits
    assert Run.objects.get() == theirs
    assert theirs.pk == ours.pk or not commits
