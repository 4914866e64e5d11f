"""Each command that answers does so in text, JSON and CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import load_command_class

from django_jobqueue import job, queues
from django_jobqueue.models import Run
from django_jobqueue.operations import schedule_create
from django_jobqueue.queue import Queue
from django_jobqueue.testing import drain
from tests.commands.conftest import command
from tests.commands.test_checkpending import refused
from tests.commands.test_conventions import NAMES

pytestmark = pytest.mark.django_db

SILENT = {"jobstubs", "runjobs"}
"""One writes a module; the other one has ``--log-format``, for lines that never end."""


def nightly() -> str:
    return schedule_create("n", queue="mail", job="send", cron="@daily", actor="bo", payload={"to": "ann"}).name


ONE: dict[str, Callable[[], list[str]]] = {
    "addjob": lambda: ["mail.send", "to=ann"],
    "canceljobs": lambda: [str(queues.mail.add("send", {"to": "ann"}).pk)],
    "clearlimit": lambda: ["mail", "concurrent_jobs"],
    "fireschedule": lambda: [nightly()],
    "pausequeue": lambda: ["mail", "--for=5m"],
    "purgejobs": list,
    "replayjobs": lambda: [str(queues.mail.add("send", {"to": "ann"}).pk)],
    "resumequeue": lambda: ["mail"],
    "setlimit": lambda: ["mail", "concurrent_jobs", "3"],
    "showrun": lambda: [str(queues.mail.add("send", {"to": "ann"}).pk)],
}
"""Commands with one thing to tell, and arguments for them."""

SEVERAL = {"checkjobs", "checkpending", "showjobs", "showschedules", "testcron"}
"""Commands that list things."""


@pytest.fixture(autouse=True)
def queue(mail: Queue) -> None:
    """There is a job mail.send."""


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


def plain(value: Any) -> str:
    """What a cell has of a value that JSON has."""
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, list | dict) else str(value)


@pytest.mark.parametrize("name", sorted(set(NAMES) - SILENT))
def test_it_takes_all_three(name: str) -> None:
    parser = load_command_class("django_jobqueue", name).create_parser("manage.py", name)

    [choices] = [action.choices for action in parser._actions if action.dest == "format"]
    assert list(choices or []) == ["text", "json", "csv"]
    assert name in ONE or name in SEVERAL


@pytest.mark.parametrize("name", ONE)
def test_one_thing_has_the_same_names_in_json_and_csv(name: str) -> None:
    arguments = ONE[name]() if name != "replayjobs" else ["--state=cancelled"]

    document = json.loads(command(name, *arguments, "--format=json").out)
    [line] = read(command(name, *arguments, "--format=csv").out)

    assert list(line) == list(document)


def test_a_cell_is_json_where_it_holds_more_than_one_value() -> None:
    run = queues.mail.add("send", {"to": "ann"}, tags=["a", "b"])

    document = json.loads(command("showrun", str(run.pk), "--format=json").out)
    [line] = read(command("showrun", str(run.pk), "--format=csv").out)

    assert (line["payload"], line["tags"]) == ('{"to": "ann"}', '["a", "b"]')
    assert {name: line[name] for name in ("id", "state", "run_at", "error")} == {
        name: plain(document[name]) for name in ("id", "state", "run_at", "error")
    }


def test_each_problem_of_what_waits_is_a_line() -> None:
    first, second = (queues.mail.add("send", {"to": "ann"}) for _ in range(2))
    Run.objects.update(payload={"to": 7})

    out, reason = refused("--format=csv")

    assert reason == "This release cannot work 2 runs of 2, and 0 schedules of 0."
    [line] = read(out)
    assert line == {
        "queue": "mail", "job": "send", "problem": 'payload["to"]: must be text',
        "runs": "2", "first_runs": f"[{first.pk}, {second.pk}]", "schedules": "0", "first_schedules": "[]",
    }  # fmt: skip


def test_each_due_time_of_a_cron_line_is_a_line() -> None:
    told = command("testcron", "@daily", "--after=2026-07-01T12:00Z", "--count=2", "--timezone=UTC", "--format=csv")

    assert [line["utc"] for line in read(told.out)] == ["2026-07-02T00:00:00+00:00", "2026-07-03T00:00:00+00:00"]


def test_what_is_told_of_a_run_that_was_there_has_no_secrets() -> None:
    @job(queue="mail", secret=["pin"])
    def unlock(pin: str) -> str:
        return f"opened with {pin}"

    queues.mail.add("unlock", {"pin": "4711-0815"}, idempotency_key="door")
    drain()

    for form in ("json", "csv"):
        told = command("addjob", "mail.unlock", "pin=4711-0815", "--idempotency-key=door", f"--format={form}")
        assert "opened with ***" in told.out
        assert "4711-0815" not in told.out


def test_of_a_run_that_is_gone_since_its_key_made_it_the_rest_is_told() -> None:
    run = queues.mail.add("send", {"to": "ann"}, idempotency_key="letter")
    Run.objects.all().delete()

    told = json.loads(command("addjob", "mail.send", "to=ann", "--idempotency-key=letter", "--format=json").out)

    assert (told["id"], told["added"], told["queue"], told["job"]) == (run.pk, False, "mail", "send")
    assert (told["state"], told["result"]) == (None, None)
