"""Payloads and job names that cannot work, one for each way in which they do not: refused, told, and nothing written."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import Group
from pytest_django import DjangoAssertNumQueries, Settings

from django_jobqueue import job
from django_jobqueue.errors import JobQueueError, PayloadError, UnknownJob
from django_jobqueue.jobs import registry
from django_jobqueue.models import Run
from django_jobqueue.payloads import decode_json
from django_jobqueue.queue import Queue

pytestmark = pytest.mark.django_db

NUL = "contains NUL, which databases refuse. Remove it."
SURROGATE = "contains a lone surrogate, which is not Unicode. Remove it."
BEYOND = "an integer beyond 64 bits does not survive every database. Pass it as text."
DEEP = "nesting deeper than 30 levels. Flatten it; if it contains itself, pass a copy."
LARGE = "bytes as JSON, and 262144 are allowed. Store it elsewhere and pass its key."


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def circle() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


VALUES: list[tuple[str, Any, str]] = [
    ("B1", "a\0b", f"payload[\"to\"]: 'a\\x00b' {NUL}"),
    ("B1", [{"a": "\0"}], f'payload["to"][0]["a"]: \'\\x00\' {NUL}'),
    ("B1", {"\0": 1}, f"payload[\"to\"]: the key '\\x00' {NUL}"),
    ("B2", "\ud800", f"payload[\"to\"]: '\\ud800' {SURROGATE}"),
    ("B2", {"\udfff": 1}, f"payload[\"to\"]: the key '\\udfff' {SURROGATE}"),
    ("B3", math.nan, 'payload["to"]: NaN is not JSON. Pass None, or text.'),
    ("B3", [math.inf], 'payload["to"][0]: Infinity is not JSON. Pass None, or text.'),
    ("B3", {"x": -math.inf}, 'payload["to"]["x"]: -Infinity is not JSON. Pass None, or text.'),
    ("B4", float("1e400"), 'payload["to"]: Infinity is not JSON. Pass None, or text.'),
    ("B4", 10**200_000, f'payload["to"]: {BEYOND}'),
    ("B5", int("9" * 4000) * 10**1000, f'payload["to"]: {BEYOND}'),
    ("B5", 2**63, f'payload["to"]: {BEYOND}'),
    ("B6", nested(100), DEEP),
    ("B6", nested(100_000), DEEP),
    ("B7", {1, 2}, 'payload["to"]: set is not JSON. Pass a sorted list.'),
    ("B7", b"raw", 'payload["to"]: bytes is not JSON. Pass text; base64 can carry any bytes.'),
    ("B7", Decimal("1.5"), 'payload["to"]: Decimal is not JSON. Pass it as text: str(value).'),
    ("B7", datetime(2026, 1, 1, tzinfo=UTC), 'payload["to"]: datetime is not JSON. Pass its isoformat().'),
    ("B7", UUID(int=1), 'payload["to"]: UUID is not JSON. Pass it as text: str(value).'),
    ("B7", Group(name="x"), 'payload["to"]: Group is not JSON. Pass its .pk, and load it in the job.'),
    ("B7", min, 'payload["to"]: builtin_function_or_method is not JSON. Pass text, numbers, booleans, None,'),
    ("B7", (x for x in [1]), 'payload["to"]: generator is not JSON. Pass a list: list(value).'),
    ("B8", {1: "int", "1": "text"}, 'payload["to"]: the key 1 is not text. JSON has text keys only.'),
    ("B10", circle(), DEEP),
    ("B11", "x" * 1_000_000, f"payload: takes 1000009 {LARGE}"),
    ("B11", ["x" * 1_000_000] * 300, f"payload: takes more than 1048576 {LARGE}"),
]


@pytest.mark.parametrize(("number", "value", "told"), VALUES, ids=[f"{v[0]}-{i}" for i, v in enumerate(VALUES)])
def test_a_value_that_no_database_keeps_as_it_is_is_refused(
    mail: Queue, django_assert_num_queries: DjangoAssertNumQueries, number: str, value: Any, told: str
) -> None:
    with django_assert_num_queries(0), pytest.raises(PayloadError) as caught:
        mail.add("send", {"to": value})

    assert told in str(caught.value)
    with pytest.raises(PayloadError) as caught:
        mail.bulk_add([{"job": "send"}, {"job": "send", "payload": {"to": value}}])
    assert str(caught.value).startswith("item 1: payload")
    assert not Run.objects.exists()


def test_b9_a_tuple_comes_back_as_a_list_at_once(mail: Queue) -> None:
    run = mail.add("send", {"to": (1, (2,))})

    assert run.payload == Run.objects.get().payload == {"to": [1, [2]]}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"to": 1, "to": 2}', "body: the key 'to' stands twice in one mapping. Remove one."),
        ('{"to": [{"a": 1, "a": 1}]}', "body: the key 'a' stands twice in one mapping. Remove one."),
    ],
)
def test_b12_a_key_that_stands_twice_is_refused(text: str, told: str) -> None:
    with pytest.raises(PayloadError) as caught:
        decode_json(text, root="body")

    assert str(caught.value) == told


@pytest.mark.parametrize(
    "name",
    ["os.system", "this.s", "antigravity.fly", "shop.jobs.send_receipt", "__import__", "tests.front.conftest.send"],
)
def test_b20_a_job_is_found_by_its_name_only_and_nothing_is_imported(mail: Queue, name: str) -> None:
    before = set(sys.modules)

    with pytest.raises(UnknownJob) as caught:
        mail.add(name)

    assert str(caught.value).startswith(f"{name!r} is not a job of queue 'mail'. ")
    assert set(sys.modules) == before


BAD_NAMES = [
    *("", "n" * 201, " send", "send ", "a name", "s\u00e9nd", "\U0001f389", "a\nb", "../etc/passwd", "%s"),
    *("'; DROP TABLE jobqueue_run; --", "1st", "-x", "a/b", "<b>", "a\0b", "\ud800"),
]


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_b21_such_a_name_is_none_for_a_job(mail: Queue, settings: Settings, name: str) -> None:
    with pytest.raises(UnknownJob, match="is not a job of queue 'mail'"):
        mail.add(name)
    if name:  # @job(name="") takes the name of the function
        job(queue="mail", name=name)(print_nothing)
        [problem] = registry.problems()
        assert '@job tests.front.test_bad_payloads.print_nothing["name"]: ' in problem
        assert "is not a valid name. Use 1 to 200 ASCII letters, digits, '_', '.', ':' and '-'" in problem
    settings.JOBQUEUE = {"queues": {"mail": {"jobs": {name: "tests.front.conftest.send"}}}}
    with pytest.raises(JobQueueError, match=r"is not a valid name\. Use 1 to 200 ASCII letters"):
        mail.add("send")
    assert not Run.objects.exists()


def print_nothing() -> None: ...


def bill(order_id: int, copy_to: str = "") -> None: ...


def bill_any(order_id: int, **more: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "payload", "told"),
    [
        (bill, None, "payload: does not fit bill(). 'order_id' is missing."),
        (
            bill,
            {"order": 1},
            "payload: does not fit bill(). 'order_id' is missing. 'order' is not a parameter. Did you",
        ),
        (bill, {"order_id": 1, "copy_too": ""}, "payload: does not fit bill(). 'copy_too' is not a parameter. Did you"),
        (bill, {"order_id": 1, 5: 1}, "payload: does not fit bill(). 5 is not a parameter. Names are text."),
        (bill, {"order_id": "1"}, "payload[\"order_id\"]: must be a whole number, got '1'."),
        (bill, {"order_id": None}, 'payload["order_id"]: must be a whole number, got None.'),
        (bill, {"order_id": 1, "copy_to": 1}, 'payload["copy_to"]: must be text, got 1.'),
        (bill_any, {"more": 1}, "payload: does not fit bill_any(). 'order_id' is missing."),
        (bill_any, {"order_id": 1, "x": "1"}, "payload[\"x\"]: must be a whole number, got '1'."),
    ],
)
def test_b26_arguments_that_do_not_fit_are_refused_when_they_are_added(
    mail: Queue,
    django_assert_num_queries: DjangoAssertNumQueries,
    function: Callable[..., None],
    payload: Any,
    told: str,
) -> None:
    job(queue="mail", name="bill")(function)

    with django_assert_num_queries(0), pytest.raises(PayloadError) as caught:
        mail.add("bill", payload)

    assert str(caught.value).startswith(told)
