"""The keys of a run, by which limits count it, come from its payload, from a function, or from ``add()``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from pytest_django import Settings

from django_jobqueue import job, queues
from django_jobqueue.errors import ConfigError, InvalidRun
from django_jobqueue.models import Run
from django_jobqueue.operations.replaying import replay
from django_jobqueue.queue import Queue
from tests.front.conftest import WriteModule, send

pytestmark = pytest.mark.django_db


def deliver(customer: Any = None, parcel: Any = None) -> None:
    """Bring a parcel."""


def of_customer(payload: Mapping[str, Any]) -> object:
    return f"customer-{payload['customer']}" if payload["customer"] else None


@pytest.mark.parametrize("name", ["concurrency_key", "rate_key"])
@pytest.mark.parametrize(
    ("source", "customer", "key"),
    [
        ("customer", "acme", "acme"),
        ("customer", 7, "7"),
        ("customer", None, None),
        ("customer", "", None),
        (of_customer, 7, "customer-7"),
        (of_customer, None, None),
        ("shop_keys.of_customer", 7, "customer-7"),
    ],
)
def test_a_key_is_found_in_the_payload(
    mail: Queue, write_module: WriteModule, name: str, source: object, customer: object, key: str | None
) -> None:
    write_module("shop_keys", "from tests.front.test_keys import of_customer")
    options: dict[str, Any] = {name: source}
    job(queue="mail", **options)(deliver)

    run = mail.add("deliver", {"customer": customer})
    [bulk] = mail.bulk_add([{"job": "deliver", "payload": {"customer": customer}}])

    assert getattr(run, name) == getattr(Run.objects.get(pk=bulk), name) == key


def test_a_payload_without_the_field_has_no_key(mail: Queue) -> None:
    job(queue="mail", concurrency_key="customer")(deliver)

    assert mail.add("deliver").concurrency_key is None


def test_what_add_is_given_wins(mail: Queue) -> None:
    job(queue="mail", concurrency_key="customer", rate_key="customer")(deliver)

    run = mail.add("deliver", {"customer": "acme"}, concurrency_key="other", rate_key=8)

    assert (run.concurrency_key, run.rate_key) == ("other", "8")


@pytest.mark.parametrize("customer", [["acme"], {"id": 7}, 1.5, True, "a\nb", "x" * 256])
def test_a_key_that_is_neither_text_nor_a_number_is_refused(mail: Queue, customer: object) -> None:
    job(queue="mail", concurrency_key="customer")(deliver)

    with pytest.raises(InvalidRun, match=r"^concurrency_key: must be text of 1 to 255 printable characters, got "):
        mail.add("deliver", {"customer": customer})
    assert Run.objects.count() == 0


def test_a_field_that_the_job_does_not_have_is_told_with_the_nearest_name(mail: Queue) -> None:
    job(queue="mail", concurrency_key="custmer")(deliver)

    with pytest.raises(ConfigError) as caught:
        mail.add("deliver")

    assert str(caught.value) == (
        "Job 'deliver' of queue 'mail' (tests.front.test_keys.deliver): concurrency_key: there is no 'custmer' in "
        "the payload. Did you mean 'customer'?"
    )


def test_a_field_that_the_queue_names_need_not_be_in_all_jobs(mail: Queue, settings: Settings) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {"concurrency_key": "customer"}}}

    def forget(name: str) -> None:
        """Forget somebody."""

    job(queue="mail")(forget)
    job(queue="mail")(deliver)

    assert queues.mail.add("forget", {"name": "ada"}).concurrency_key is None
    assert queues.mail.add("deliver", {"customer": "acme"}).concurrency_key == "acme"


def test_a_job_that_takes_any_field_may_name_any(mail: Queue) -> None:
    job(queue="mail", name="any", rate_key="host")(send)

    assert mail.add("any", {"host": "::1"}).rate_key == "::1"


@pytest.mark.parametrize("options", [{"keep_order": True}, {"rate_burst": 2}])
def test_a_job_whose_limits_contradict_each_other_is_told(mail: Queue, options: dict[str, Any]) -> None:
    job(queue="mail", **options)(deliver)

    with pytest.raises(
        ConfigError, match=r"^Job 'deliver' of queue 'mail' \(tests.front.test_keys.deliver\): (keep|rate)_"
    ):
        mail.add("deliver")


def test_a_replay_keeps_the_keys(mail: Queue) -> None:
    run = mail.add("send", concurrency_key="a", rate_key="b")
    Run.objects.update(state="failed", reason="job_failed", finished_at=run.created_at)

    again = replay(run.pk, actor="ana")

    assert (again.concurrency_key, again.rate_key) == ("a", "b")
