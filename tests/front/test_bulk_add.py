"""``bulk_add()`` adds all of its items or none, each as ``add()`` would."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Group
from django.db import transaction
from pytest_django import DjangoAssertNumQueries

from django_jobqueue import job
from django_jobqueue.errors import InvalidRun, JobQueueError, PayloadError, UnknownJob, UnknownQueue
from django_jobqueue.models import Run
from django_jobqueue.operations import enqueue_many
from django_jobqueue.operations.new_runs import AddOptions
from django_jobqueue.operations.runs import CHUNK
from django_jobqueue.queue import Queue
from tests.front.conftest import Columns, send, statements

pytestmark = pytest.mark.django_db

OPTIONS: dict[str, list[Any]] = {
    "next_run_at": [datetime(2031, 1, 1, tzinfo=UTC), "2031-01-01T02:00:00+02:00", "now", None],
    "delay_seconds": [0, 0.25, 3600, None],
    "priority": [-100, 0, 7, None],
    "max_attempts": [1, 1000, None],
    "timeout_seconds": [0.1, 60, None],
    "idempotency_key": [None],  # more about keys in test_idempotency
    "unique_key": [None],  # more about unique jobs in test_uniqueness
    "on_duplicate": ["skip", None],
    "expires_at": [datetime(2031, 1, 1, tzinfo=UTC), "2031-01-01T02:00:00+02:00", None],
    "concurrency_key": ["acme", 7, Group(pk=3), None],
    "rate_key": ["acme", 7, None],
    "tags": [["a", "b"], {"b", "a"}, (), None],
    "tenant": ["acme", 7, None],
    "user": [Group(pk=3), AnonymousUser(), "7", None],
    "trace_id": ["4bf92f3577b34da6a3ce929d0e0e4736", None],
    "metadata": [{"from": {"ip": "::1"}}, {}, None],
}


def test_ids_come_back_in_the_order_of_the_items(mail: Queue) -> None:
    ids = mail.bulk_add({"job": "send", "payload": {"to": str(n)}, "priority": n % 3} for n in range(300))

    assert ids == sorted(set(ids))
    assert [Run.objects.get(pk=run_id).payload["to"] for run_id in ids[::50]] == ["0", "50", "100", "150", "200", "250"]


def test_a_generator_may_be_longer_than_a_chunk(mail: Queue, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    items = ({"job": "send", "payload": {"to": str(n)}} for n in range(2500))

    with django_assert_num_queries(statements(5, mysql=8)):  # three chunks between a savepoint and its release
        ids = mail.bulk_add(items)

    assert CHUNK == 1000
    assert len(ids) == Run.objects.count() == 2500
    runs = Run.objects.in_bulk(ids)
    assert [runs[run_id].payload["to"] for run_id in ids] == [str(n) for n in range(2500)]


def test_nothing_is_added_where_there_is_nothing_to_add(mail: Queue) -> None:
    assert mail.bulk_add([]) == []
    assert mail.bulk_add(iter(())) == []
    assert not Run.objects.exists()


@pytest.mark.parametrize("items", [[], [{"job": "send"}], [{}]], ids=["none", "one", "a wrong one"])
def test_a_queue_that_is_none_is_refused_before_an_item_is_asked_for(mail: Queue, items: list[dict[str, Any]]) -> None:
    asked = iter(items)

    with pytest.raises(UnknownQueue, match=r"^'mial' is not a queue\. Did you mean 'mail'\?$"):
        enqueue_many("mial", asked)

    assert [*asked] == items


def test_items_may_be_any_mappings(mail: Queue) -> None:
    [run_id] = mail.bulk_add([MappingProxyType({"job": "send", "payload": MappingProxyType({"to": "n1"})})])

    assert Run.objects.get().pk == run_id
    assert Run.objects.get().payload == {"to": "n1"}


@pytest.mark.parametrize(("option", "value"), [(name, value) for name in OPTIONS for value in OPTIONS[name]])
def test_every_option_means_what_it_means_to_add(mail: Queue, columns: Columns, option: str, value: Any) -> None:
    arguments = {"job": "send", "payload": {"to": "n1"}, option: value}
    single = mail.add(**arguments)
    [run_id] = mail.bulk_add([arguments])

    assert portrait(columns(single), next_run_at=arguments.get("next_run_at")) == portrait(
        columns(Run.objects.get(pk=run_id)), next_run_at=arguments.get("next_run_at")
    )


def portrait(run: dict[str, Any], *, next_run_at: object) -> dict[str, Any]:
    """The columns of a run without the moment of adding it."""
    relative = next_run_at in (None, "now")
    return run | {
        "id": None,
        "created_at": None,
        "run_at": run["run_at"] - run["created_at"] if relative else run["run_at"],
    }


def test_no_option_is_left_out_here() -> None:
    assert set(OPTIONS) == set(AddOptions.__annotations__)


def test_options_of_the_job_apply_to_each(mail: Queue) -> None:
    job(queue="mail", name="urgent", priority=50, delivery="at_most_once")(send)

    mail.bulk_add([{"job": "urgent"}, {"job": "send"}, {"job": "urgent", "priority": 0}])

    assert [*Run.objects.order_by("id").values_list("job", "priority", "delivery")] == [
        ("urgent", 50, "at_most_once"),
        ("send", 0, "at_least_once"),
        ("urgent", 0, "at_most_once"),
    ]


def test_the_runs_of_one_chunk_are_added_at_one_moment(mail: Queue) -> None:
    mail.bulk_add([{"job": "send", "delay_seconds": n} for n in range(3)])

    [moment] = set(Run.objects.values_list("created_at", flat=True))
    assert [*Run.objects.order_by("id").values_list("run_at", flat=True)] == [
        moment + timedelta(seconds=n) for n in range(3)
    ]


# --- All or none -----------------------------------------------------------------------------------------------------

BAD_ITEMS: list[tuple[Any, type[JobQueueError], str]] = [
    ({"job": "sned"}, UnknownJob, "'sned' is not a job of queue 'mail'. Did you mean 'send'?"),
    ({"job": "send", "payload": {"to": {1}}}, PayloadError, 'payload["to"]: set is not JSON. Pass a sorted list.'),
    ({"job": "exact"}, PayloadError, "payload: does not fit exact(). 'to' is missing."),
    ({"job": "send", "priority": 101}, InvalidRun, "priority: must be a whole number from -100 to 100, got 101."),
    ({"job": "send", "prioriti": 1}, InvalidRun, "'prioriti' is not an argument. Did you mean 'priority'?"),
    ({"payload": {"to": "n1"}}, InvalidRun, "'job' is missing."),
    ({}, InvalidRun, "'job' is missing."),
    ("send", InvalidRun, "must be a mapping of the arguments of add(), got 'send'."),
    (("send", {}), InvalidRun, "must be a mapping of the arguments of add(), got ('send', {})."),
    (None, InvalidRun, "must be a mapping of the arguments of add(), got None."),
]


def exact(to: str) -> None:
    """A job with exact parameters."""


@pytest.mark.parametrize(("item", "kind", "message"), BAD_ITEMS)
@pytest.mark.parametrize("index", [0, 1, 1500])
def test_one_bad_item_refuses_all_and_its_index_is_named(
    mail: Queue, item: Any, kind: type[JobQueueError], message: str, index: int
) -> None:
    job(queue="mail")(exact)
    items = [{"job": "send"}] * index + [item] + [{"job": "send"}] * 3

    with pytest.raises(JobQueueError) as caught:
        mail.bulk_add(items)

    assert type(caught.value) is kind
    assert str(caught.value) == f"item {index}: {message}"
    assert not Run.objects.exists()


@pytest.mark.parametrize("key", ["queue", 1])
def test_a_key_that_no_argument_has_is_refused_whatever_it_is(mail: Queue, key: Any) -> None:
    with pytest.raises(InvalidRun, match=rf"^item 0: {key!r} is not an argument\."):
        mail.bulk_add([{"job": "send", key: "mail"}])


def broken(length: int) -> Iterator[dict[str, Any]]:
    for n in range(length):
        yield {"job": "send", "payload": {"to": str(n)}}
    raise RuntimeError("the file ended early")


@pytest.mark.parametrize("length", [0, 1, 2500])
def test_nothing_is_kept_of_a_generator_that_raises_midway(mail: Queue, length: int) -> None:
    with pytest.raises(RuntimeError, match="the file ended early"):
        mail.bulk_add(broken(length))

    assert not Run.objects.exists()


def test_the_transaction_of_the_caller_goes_on_after_a_refusal(mail: Queue) -> None:
    with transaction.atomic():
        mail.add("send", {"to": "before"})
        with pytest.raises(RuntimeError):
            mail.bulk_add(broken(1500))
        with pytest.raises(InvalidRun):
            mail.bulk_add([{"job": "send"}] * 1500 + [{}])
        mail.add("send", {"to": "after"})

    assert [run.payload["to"] for run in Run.objects.order_by("id")] == ["before", "after"]
