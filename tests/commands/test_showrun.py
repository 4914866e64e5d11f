"""``showrun``."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from django_jobqueue import job
from django_jobqueue.models import Activity, Attempt, Run, Worker
from django_jobqueue.operations import cancel, pause_queue, replay
from django_jobqueue.queue import Queue
from tests.admin.conftest import MakeRun
from tests.commands.conftest import command

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def queue(mail: Queue, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a job mail.send, and a terminal."""
    monkeypatch.setenv("COLUMNS", "100")
    settings.TIME_ZONE = "UTC"


def facts(run: Run, *arguments: str) -> dict[str, str]:
    """What the text says of the run, by its labels; a line without a label goes on with the one above."""
    told: dict[str, str] = {}
    label = ""
    for line in command("showrun", str(run.pk), *arguments).out.partition("\n\n")[0].splitlines():
        label = line[:17].strip() or label
        told[label] = f"{told[label]}\n{line[17:]}" if label in told else line[17:]
    return told


def test_a_pending_run_says_what_it_waits_for(mail: Queue) -> None:
    pause_queue("mail", actor="ann", reason="no server")
    run = mail.add("send", {"to": "bob"}, delay_seconds=9000, priority=7)

    told = facts(run)

    due, paused, no_worker = told["waits for"].splitlines()
    assert due.startswith("It is not due before ")
    assert paused.startswith("Queue 'mail' is paused, since ")
    assert paused.endswith("by ann: no server")
    assert no_worker == "No live worker works queue 'mail'. Start one: manage.py runjobs mail"
    assert (told["run"], told["job"], told["state"], told["priority"]) == (str(run.pk), "mail.send", "scheduled", "7")
    assert told["due"].endswith("UTC (in 2 h)")


def test_a_run_that_nothing_holds_back_says_so(mail: Queue) -> None:
    now = timezone.now()
    Worker.objects.create(name="web-1:1:a", queues=["mail"], concurrency=8, started_at=now, heartbeat_at=now)
    run = mail.add("send", {"to": "bob"})

    told = facts(run)

    assert told["waits for"] == "Nothing: the next claim takes it."


@pytest.mark.parametrize(
    ("columns", "state"),
    [
        ({"state": "pending"}, "pending"),
        ({"state": "pending", "failures": 1}, "retrying"),
        ({"state": "running"}, "running"),
        ({"state": "running", "cancel_requested_at": timezone.now()}, "running: asked to cancel"),
        ({"state": "completed"}, "completed: returned"),
        ({"state": "dead_lettered", "reason": "max_attempts"}, "dead-lettered: max attempts"),
    ],
)
def test_the_state_is_told_in_words(columns: dict[str, object], state: str, make_run: MakeRun) -> None:
    assert facts(make_run(**columns))["state"] == state


def test_a_run_that_does_not_wait_says_nothing_of_it(make_run: MakeRun) -> None:
    assert "waits for" not in facts(make_run("running"))


def test_what_is_set_is_told_and_what_is_not_is_not(make_run: MakeRun) -> None:
    run = make_run(
        "failed", reason="job_failed", version=2, failures=1, crashes=2, max_attempts=5, tenant="acme", user="7",
        tags=["vip"], progress={"done": 1, "total": 3}, result=None, error="one\ntwo \x1b[31mred", worker=None,
    )  # fmt: skip

    told = facts(run)

    assert told["job"] == "mail.send (version 2)"
    assert told["attempt"] == "1, 1 failures, 2 crashes, at most 5 failures"
    assert (told["tenant"], told["user"], told["tags"]) == ("acme", "7", '["vip"]')
    assert told["progress"] == '{"done": 1, "total": 3}'
    assert told["error"] == "one\ntwo \\x1b[31mred"
    assert not {"worker", "result", "expires", "schedule"} & told.keys()


def test_the_secrets_of_a_payload_are_shown_only_when_that_is_asked_for(make_run: MakeRun) -> None:
    run = make_run(payload={"password": "s3cret"}, error="s3cret is wrong", tags=["s3cret"], result="s3cret")

    assert json.loads(facts(run)["payload"]) == {"password": "********************"}
    assert facts(run)["error"] == "******************** is wrong"
    assert "s3cret" not in command("showrun", str(run.pk), "-v", "2").out
    assert "s3cret" not in command("showrun", str(run.pk), "--format=json").out
    assert facts(run, "--show-payload")["payload"] == '{"password": "s3cret"}'
    shown = command("showrun", str(run.pk), "--format=json", "--show-payload").out
    assert json.loads(shown)["payload"] == {"password": "s3cret"}


@pytest.mark.django_db(transaction=True)
def test_the_history_of_a_run_stands_in_tables(mail: Queue) -> None:
    @job(queue="mail", max_attempts=2, backoff={"mode": "fixed", "initial_seconds": 0})
    def fall() -> None:
        raise ValueError("no")

    run = mail.add("fall")
    call_command("runjobs", "mail", drain=True, verbosity=0)
    again = replay(run.pk, actor="ann", reason="once more")
    cancel(again.pk, actor="ann", reason="enough")

    _, attempts = command("showrun", str(run.pk)).out.split("\n\n")
    _, activities = command("showrun", str(again.pk)).out.split("\n\n")

    titles, second, first = attempts.splitlines()
    assert titles.split() == ["attempt", "outcome", "started", "took", "worker", "error"]
    assert second.split()[:2] == ["2", "dead_lettered"]
    assert first.split()[:2] == ["1", "retried"]
    assert first.endswith("ValueError: no")
    assert facts(run)["replayed as"] == f"{again.pk} (cancelled)"
    assert [line.split()[0] for line in activities.splitlines()] == ["activity", "jobs.cancel", "jobs.replay"]
    assert activities.splitlines()[1].endswith("ann  enough")


def test_tracebacks_are_shown_with_more_verbosity_only(make_run: MakeRun) -> None:
    run = make_run("failed", reason="job_failed")
    now = timezone.now()
    Attempt.objects.create(
        run=run, number=1, worker="w", started_at=now, finished_at=now + timedelta(seconds=90), outcome="failed",
        error="ValueError: no", traceback="Traceback\n  File \x1b[2J\nValueError: no\n",
    )  # fmt: skip

    assert "Traceback" not in command("showrun", str(run.pk)).out
    told = command("showrun", str(run.pk), "-v", "2").out
    assert told.endswith("attempt 1\nTraceback\n  File \\x1b[2J\nValueError: no\n")
    assert " 1 min 30 s " in told


def test_a_program_gets_all_of_it(mail: Queue) -> None:
    run = mail.add("send", {"to": "bob"}, delay_seconds=3600)
    cancel(run.pk, actor="ann", reason="enough")
    again = mail.add("send", {"to": "bob"}, delay_seconds=3600)

    ended = json.loads(command("showrun", str(run.pk), "--format=json").out)
    waiting = json.loads(command("showrun", str(again.pk), "--format=json").out)

    columns = {field.name for field in Run._meta.concrete_fields} - {"payload"}
    assert columns <= ended.keys()
    assert (ended["id"], ended["state"], ended["standing"]) == (run.pk, "cancelled", "cancelled")
    assert ended["created_at"] == run.created_at.isoformat()
    assert [(each["operation"], each["actor"], each["reason"]) for each in ended["activities"]] == [
        ("jobs.cancel", "ann", "enough")
    ]
    assert ended["waits_for"] == []
    assert [each["code"] for each in waiting["waits_for"]] == ["not_due", "no_worker"]
    assert waiting["waits_for"][0]["until"] == again.run_at.isoformat()


@pytest.mark.parametrize("wrong", ["0", "-1", "1.5", "abc", "", str(2**63), "9" * 5000, "\u0661", "1; DROP TABLE x"])
def test_what_is_no_id_is_not_found(wrong: str) -> None:
    with pytest.raises(CommandError, match=r"There is no run .*\.") as caught:
        command("showrun", "--", wrong)

    assert caught.value.returncode == 1


def test_runs_of_another_namespace_are_not_found(mail: Queue, settings: Settings) -> None:
    run = mail.add("send", {"to": "bob"})
    settings.JOBQUEUE = {"namespace": "other"}

    with pytest.raises(CommandError, match=rf"There is no run '{run.pk}'\."):
        command("showrun", str(run.pk))

    assert not Activity.objects.exists()
