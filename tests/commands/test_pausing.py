"""``pausequeue`` and ``resumequeue``."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError
from django.utils import timezone

from django_jobqueue.management.command import operator
from django_jobqueue.models import Activity, QueueState
from django_jobqueue.queue import Queue
from tests.commands.conftest import command

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def queue(mail: Queue) -> None:
    """There is a queue named mail."""


def test_a_queue_is_paused_until_somebody_resumes_it() -> None:
    told = command("pausequeue", "mail", "--reason", "the server is down")

    state = QueueState.objects.get(queue="mail")
    assert state.paused_at is not None
    assert state.paused_until is None
    assert told.out == "Queue 'mail' is paused. To end it: manage.py resumequeue mail\n"


def test_who_asks_for_silence_gets_it() -> None:
    assert command("pausequeue", "mail", "-v", "0").out == ""
    assert command("resumequeue", "mail", "-v", "0").out == ""
    assert command("resumequeue", "mail", "-v", "0", "--format=json").out != ""


def test_who_paused_it_and_why_is_recorded() -> None:
    command("pausequeue", "mail", "--reason", "the server is down")

    activity = Activity.objects.get()
    assert activity.operation == "queues.pause"
    assert activity.actor == operator()
    assert activity.actor.startswith("command:")
    assert activity.reason == "the server is down"


def test_a_pause_can_end_by_itself_after_a_while() -> None:
    before = timezone.now()

    command("pausequeue", "mail", "--for", "1h30m")

    until = QueueState.objects.get(queue="mail").paused_until
    assert until is not None
    assert timedelta(hours=1.5) <= until - before < timedelta(hours=1.6)


def test_a_pause_can_end_at_a_moment_in_the_time_zone_of_the_project(settings: object) -> None:
    settings.TIME_ZONE = "Europe/Berlin"  # type: ignore[attr-defined]

    told = command("pausequeue", "mail", "--until", "2099-07-01T09:00")

    assert QueueState.objects.get(queue="mail").paused_until == datetime(2099, 7, 1, 7, 0, tzinfo=UTC)
    assert "paused until 2099-07-01 09:00:00 CEST." in told.out


def test_a_program_gets_json() -> None:
    told = command("pausequeue", "mail", "--until", "2099-07-01T09:00+02:00", "--format", "json")

    assert json.loads(told.out) == {"queue": "mail", "job": None, "paused": True, "until": "2099-07-01T07:00:00+00:00"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["mial"], "'mial' is not a queue. Did you mean 'mail'?"),
        ([""], "'' is not a queue. Known: default, mail."),
        (["mail", "--until", "2020-01-01T00:00"], "until: 2020-01-01 00:00:00+00:00 is in the past."),
        (
            ["mail", "--until", "soon"],
            "argument --until: must be \"now\" or a moment such as 2030-02-28T09:00, got 'soon'.",
        ),
        (["mail", "--until", "2030-02-31"], "argument --until: must be"),
        (["mail", "--for", "5 minutes"], "argument --for: must be a duration such as 90, 45s, 5m, 1h30m or 2d, got"),
        (["mail", "--for", "-5"], "argument --for: "),
        (["mail", "--for", "4000d"], "argument --for: must be at most ten years, got '4000d'."),
        (["mail", "--for", "5m", "--until", "now"], "argument --until: not allowed with argument --for"),
    ],
)
def test_what_cannot_be_is_refused_and_pauses_nothing(arguments: list[str], told: str, settings: object) -> None:
    settings.TIME_ZONE = "UTC"  # type: ignore[attr-defined]

    with pytest.raises(CommandError) as caught:
        command("pausequeue", *arguments)

    assert told in str(caught.value)
    assert not QueueState.objects.exists()


def test_a_paused_queue_is_resumed() -> None:
    command("pausequeue", "mail")

    told = command("resumequeue", "mail", "--reason", "it is back")

    assert QueueState.objects.get(queue="mail").paused_at is None
    assert told.out == "Queue 'mail' is resumed.\n"
    assert Activity.objects.filter(operation="queues.resume", reason="it is back", actor=operator()).exists()


def test_resuming_what_is_not_paused_is_no_error() -> None:
    told = command("resumequeue", "mail")

    assert told.out == "Queue 'mail' was not paused.\n"
    assert json.loads(command("resumequeue", "mail", "--format=json").out) == {
        "queue": "mail",
        "job": None,
        "paused": False,
        "was_paused": False,
    }


def test_a_queue_that_does_not_exist_cannot_be_resumed() -> None:
    with pytest.raises(CommandError, match=r"'mial' is not a queue\. Did you mean 'mail'\?"):
        command("resumequeue", "mial")
