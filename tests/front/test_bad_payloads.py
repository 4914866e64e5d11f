"""Job names and arguments that cannot work, one for each way in which they do not: refused, told, and nothing written."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries, Settings

from django_jobqueue import job
from django_jobqueue.errors import JobQueueError, PayloadError, UnknownJob
from django_jobqueue.jobs import registry
from django_jobqueue.models import Run
from django_jobqueue.queue import Queue

pytestmark = pytest.mark.django_db


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
