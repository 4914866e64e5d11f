"""A mistake in what is declared to be secret is told before anything is shown."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import Settings

from django_jobqueue import job, queues
from django_jobqueue.errors import ConfigError
from django_jobqueue.jobs import JobRegistry, registry


@pytest.fixture(autouse=True)
def new_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "__dict__", vars(JobRegistry()))


def pay(card: str, password: str = "") -> None:
    """Pay."""


def take_anything(**payload: object) -> None:
    """Take it."""


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"secret": ["pasword"]}, "'pasword' is not one of its parameters. Did you mean 'password'?"),
        ({"secret": ["crad.number"]}, "secret names 'crad.number', and 'crad' is not one of its parameters."),
        ({"secret": "card"}, "must be a list of fields of the payload, such as ['token', 'card.number'], got 'card'"),
        ({"secret": ["card..number"]}, "must be a list of fields of the payload"),
        ({"secret": [7]}, "must be a list of fields of the payload"),
        ({"secret": ["card"], "concurrency_key": "card"}, "concurrency_key is the secret field 'card'."),
        ({"secret": ["card"], "rate_key": "card"}, "rate_key is the secret field 'card'."),
    ],
)
def test_it_is_refused(options: dict[str, Any], told: str) -> None:
    job(**options)(pay)

    with pytest.raises(ConfigError) as caught:
        registry.get("default", "pay")
    assert told in str(caught.value)


def test_a_queue_may_name_what_only_some_of_its_jobs_have(settings: Settings) -> None:
    settings.JOBQUEUE = {"queues": {"default": {"secret": ["card", "iban"]}}}
    job(pay)

    assert registry.secrets("default", "pay").fields == ("card", "iban")


def test_a_job_that_takes_anything_may_name_anything() -> None:
    job(secret=["card.number"])(take_anything)

    assert queues.default.jobs["take_anything"].options.secret == ("card.number",)
