"""``setlimit`` and ``clearlimit``, and ``pausequeue --job``."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from django.core.management import CommandError

from django_jobqueue import job
from django_jobqueue.models import Activity, QueueState
from django_jobqueue.queue import Queue
from tests.commands.conftest import command, send

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def queue(mail: Queue) -> None:
    """There is a queue named mail."""


def test_a_limit_is_set_and_cleared_and_recorded() -> None:
    told = command("setlimit", "mail", "concurrent_jobs", "3", "--reason", "too much")

    assert told.out == "concurrent_jobs of queue 'mail' is 3. To end it: manage.py clearlimit mail concurrent_jobs\n"
    assert QueueState.objects.get().concurrent_jobs == 3
    assert Activity.objects.get().reason == "too much"

    assert (
        command("clearlimit", "mail", "concurrent_jobs").out
        == "concurrent_jobs of queue 'mail' is as in the settings.\n"
    )
    assert command("clearlimit", "mail", "concurrent_jobs").out == "concurrent_jobs of queue 'mail' was not set.\n"
    assert QueueState.objects.get().concurrent_jobs is None


def test_a_limit_of_a_job_may_end_by_itself_and_be_told_as_json() -> None:
    told = command(
        "setlimit", "mail", "rate_limit", "5/m", "--job", "send", "--until", "2099-07-01T09:00+02:00", "--format=json"
    )

    assert json.loads(told.out) == {
        "queue": "mail",
        "job": "send",
        "limit": "rate_limit",
        "value": "5/m",
        "until": "2099-07-01T07:00:00+00:00",
    }
    state = QueueState.objects.get(job="send")
    assert (state.rate_limit, state.rate_limit_until) == ("5/m", datetime(2099, 7, 1, 7, tzinfo=UTC))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "No job of queue 'mail' declares a concurrency_key: only runs that add() gives one are limited.\n"),
        (["--job=send"], "Job 'send' declares no concurrency_key: only runs that add() gives one are limited.\n"),
        (["--job=send", "--verbosity=0"], ""),
    ],
)
def test_who_limits_keys_that_no_job_declares_is_told_so(arguments: list[str], told: str) -> None:
    assert command("setlimit", "mail", "concurrent_jobs_per_key", "1", *arguments).err == told
    assert QueueState.objects.get().concurrent_jobs_per_key == 1


@pytest.mark.parametrize("scope", [[], ["--job=ring"]])
def test_who_limits_keys_of_a_job_that_declares_one_is_told_nothing_more(scope: list[str]) -> None:
    job(queue="mail", name="ring", concurrency_key="to")(send)

    assert command("setlimit", "mail", "concurrent_jobs_per_key", "1", *scope).err == ""


def test_what_is_no_limit_is_told_on_one_line() -> None:
    with pytest.raises(CommandError, match=r"^concurrent_jobs: must be a whole number from 1 to 2147483647, got 0\.$"):
        command("setlimit", "mail", "concurrent_jobs", "0")


@pytest.mark.parametrize("value", ["9" * 25, "9" * 5000, "\u0663", "\u00b2", "-1", "1.0", " ", ""])
def test_what_is_no_number_is_told_and_nothing_is_written(value: str) -> None:
    with pytest.raises(CommandError, match=r"^concurrent_jobs: must be a whole number from 1 to 2147483647, got '"):
        command("setlimit", "mail", "concurrent_jobs", "--", value)

    assert not QueueState.objects.exists()


def test_one_job_is_paused_and_resumed() -> None:
    told = command("pausequeue", "mail", "--job", "send")
    assert told.out == "Job 'send' is paused. To end it: manage.py resumequeue mail --job send\n"
    assert QueueState.objects.get(job="send").paused_at is not None

    assert command("resumequeue", "mail", "--job", "send").out == "Job 'send' is resumed.\n"
    assert command("resumequeue", "mail", "--job", "send").out == "Job 'send' was not paused.\n"
