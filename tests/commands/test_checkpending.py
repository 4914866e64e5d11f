"""A deploy stops where what waits could not be worked."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from django_jobqueue import job
from django_jobqueue.models import Run, Schedule
from django_jobqueue.queue import Queue
from tests.commands.conftest import command

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def waiting(mail: Queue) -> Queue:
    """A queue in which runs wait that the old release has added."""
    job(queue="mail", name="digest")(lambda reader: None)
    mail.bulk_add([*[{"job": "send", "payload": {"to": "ann"}}] * 7, {"job": "digest", "payload": {"reader": 1}}])
    Schedule.objects.create(name="weekly", queue="mail", job="digest", payload={"reader": 1})
    return mail


def refused(*arguments: str) -> tuple[str, str]:
    """What is printed, and what is told as the reason of an exit with 1."""
    out = StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("checkpending", *arguments, no_color=True, stdout=out)
    assert caught.value.returncode == 1
    return out.getvalue(), str(caught.value)


def release(**jobs: Any) -> None:
    """Bring out a release that has these jobs."""
    from django_jobqueue.jobs import JobRegistry, registry

    registry.__dict__.update(vars(JobRegistry()))
    for name, function in jobs.items():
        job(queue="mail", name=name)(function)


def test_a_release_that_can_work_all_passes() -> None:
    assert command("checkpending").out == "This release can work all that waits: 8 runs, 1 schedule.\n"


def test_a_release_that_cannot_is_stopped_with_all_that_is_wrong() -> None:
    release(send=lambda to, subject: None, digests=lambda reader: None)
    ids = list(Run.objects.order_by("pk").values_list("pk", flat=True))

    out, reason = refused()

    assert out.splitlines() == [
        "mail.digest: 'digest' is not a job of queue 'mail'. Did you mean 'digests'?",
        f"  1 run: {ids[7]}",
        "  1 schedule: weekly",
        "mail.send: payload: does not fit <lambda>(). 'subject' is missing.",
        f"  7 runs: {', '.join(map(str, ids[:5]))}, ...",
    ]
    assert reason == "This release cannot work 8 runs of 8, and 1 schedule of 1."


def test_programs_get_json_and_the_same_exit_code() -> None:
    release(send=lambda to: None)

    out, reason = refused("--format", "json")

    assert json.loads(out) == {
        "runs": 8,
        "schedules": 1,
        "problems": [
            {
                "queue": "mail",
                "job": "digest",
                "problem": "'digest' is not a job of queue 'mail'. Known: send.",
                "runs": {"count": 1, "first": [Run.objects.get(job="digest").pk]},
                "schedules": {"count": 1, "first": ["weekly"]},
            }
        ],
    }
    assert reason == "This release cannot work 1 run of 8, and 1 schedule of 1."


def test_programs_get_json_where_all_is_well() -> None:
    assert json.loads(command("checkpending", "--format", "json").out) == {"runs": 8, "schedules": 1, "problems": []}


def test_what_payloads_hold_is_not_printed(waiting: Queue) -> None:
    Run.objects.filter(job="send").update(payload={"to": "ann", "copies": "hunter2"})

    out, _ = refused()

    assert 'payload["copies"]: must be a whole number' in out
    assert "hunter2" not in out


def test_text_of_others_says_nothing_to_the_terminal() -> None:
    Run.objects.update(payload={"to": "ann", "\x1b[2J": 1})
    Schedule.objects.update(name="\x1b[31m")

    out, _ = refused()

    assert "\x1b" not in out
