"""``showjobs``, where it shows queues and jobs."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta

import pytest
from django.core.management import CommandError
from django.utils import timezone
from pytest_django import Settings

from django_jobqueue import job
from django_jobqueue.management.queue_list import COUNTED
from django_jobqueue.models import QueueState, Worker
from django_jobqueue.operations import pause_job, pause_queue, set_limit
from tests.admin.conftest import MakeRun
from tests.commands.conftest import command, send

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def queues(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two queues with jobs, one without, and a terminal."""
    monkeypatch.setenv("COLUMNS", "100")
    settings.JOBQUEUE = {"queues": {"mail": {"concurrent_jobs": 8, "max_attempts": 5}, "reports": {}}}
    job(queue="mail", priority=7, backoff={"mode": "fixed"})(send)
    job(queue="reports", name="render", description="\x1b[31m", rate_limit="90/m")(send)


def test_queues_stand_in_a_table_with_their_figures(make_run: MakeRun) -> None:
    now = timezone.now()
    Worker.objects.create(name="web-1:1:a", queues=["mail"], concurrency=8, started_at=now, heartbeat_at=now)
    make_run(run_at=now - timedelta(hours=5, minutes=30))
    make_run(run_at=now + timedelta(hours=1))
    make_run("running")

    titles, default, mail, reports = command("showjobs").out.split("\n\n")[0].splitlines()

    assert titles.split() == ["queue", *COUNTED, "oldest", "workers", "state"]
    assert default.split() == ["default", "0", "0", "0", "0", "no", "worker"]
    assert mail.split() == ["mail", "2", "1", "1", "5", "h", "1", "working"]
    assert reports.split() == ["reports", "0", "0", "0", "0", "no", "worker"]


def test_a_pause_says_who_made_it_and_why() -> None:
    pause_queue("mail", actor="ann", reason="no server", until=timezone.now() + timedelta(hours=2, minutes=30))

    _, _, mail, _ = command("showjobs").out.split("\n\n")[0].splitlines()
    shown = json.loads(command("showjobs", "--queue=mail", "--format=json").out)

    assert mail.endswith("  paused by ann: no server (2 h left)")
    assert (shown[0]["paused"]["actor"], shown[0]["paused"]["reason"]) == ("ann", "no server")
    assert shown[0]["paused"]["until"] is not None


def test_jobs_are_told_with_the_options_that_are_not_as_by_default() -> None:
    lines = command("showjobs").out.split("\n\n")[1].splitlines()

    told = {line.split()[0]: line.split(None, 1)[1] for line in lines if " " in line.strip()}
    assert told["mail"].startswith("concurrent_jobs=8 ")
    assert told["mail.send"] == 'priority=7 max_attempts=5 backoff={"mode": "fixed"}'
    assert told["reports.render"] == r"description=\x1b[31m rate_limit=90/m"


def test_a_job_that_cannot_work_says_why_and_does_not_hide_the_others() -> None:
    @job(queue="mail")
    def broken(*letters: str) -> None:
        pass

    [mail] = json.loads(command("showjobs", "--queue=mail", "--format=json").out)

    broken_one, sending = mail["jobs"]
    assert "'*letters' would never get anything" in broken_one["problem"]
    assert (sending["job"], sending["problem"]) == ("send", None)
    assert "mail.broken  Job 'broken' of queue 'mail' (" in command("showjobs", "--job=broken").out


def test_limits_that_are_set_are_told_at_their_queue_until_they_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    until = timezone.now() + timedelta(hours=1)
    set_limit("mail", "concurrent_jobs", 3, actor="ann")
    set_limit("mail", "rate_limit", "10/m", job="send", actor="ann", until=until)
    set_limit("mail", "concurrent_jobs_per_key", 1, actor="ann", until=until)
    QueueState.objects.filter(job="").update(concurrent_jobs_per_key_until=timezone.now())

    line = command("showjobs", "--queue=mail").out.split("\n\n")[0].splitlines()[1]
    [shown] = json.loads(command("showjobs", "--queue=mail", "--format=json").out)

    assert line.endswith("  no worker; set: concurrent_jobs=3, send.rate_limit=10/m")
    [of_queue, of_job] = shown["set_limits"]
    assert of_queue == {"job": "", "limit": "concurrent_jobs", "value": 3, "until": None}
    assert (of_job["job"], of_job["limit"], of_job["value"]) == ("send", "rate_limit", "10/m")
    assert of_job["until"] is not None


def test_a_job_that_is_paused_is_named_at_its_queue() -> None:
    pause_job("mail", "send", actor="ann", reason="wrong template")

    [line] = [line for line in command("showjobs").out.splitlines() if line.startswith("mail ")][:1]
    [shown] = json.loads(command("showjobs", "--queue=mail", "--format=json").out)

    assert line.endswith("  no worker; paused: send")
    assert (shown["paused"], shown["paused_jobs"]) == (None, ["send"])


def test_a_program_gets_all_figures(make_run: MakeRun) -> None:
    make_run(run_at=timezone.now() - timedelta(hours=5), failures=1)

    [mail] = json.loads(command("showjobs", "--queue=mail", "--format=json").out)

    assert (mail["pending"], mail["retrying"], mail["running"], mail["dead_lettered"]) == (1, 1, 0, 0)
    assert 17_999 < mail["oldest_due_age_seconds"] < 21_600


def test_one_queue_or_one_job_can_be_asked_for() -> None:
    [mail] = json.loads(command("showjobs", "--queue=mail", "--format=json").out)
    [reports] = json.loads(command("showjobs", "--job=render", "--format=json").out)

    assert mail["queue"] == "mail"
    assert (reports["queue"], [each["job"] for each in reports["jobs"]]) == ("reports", ["render"])


def test_a_spreadsheet_gets_a_line_for_each_queue() -> None:
    rows = list(csv.DictReader(io.StringIO(command("showjobs", "--format=csv").out)))

    assert [row["queue"] for row in rows] == ["default", "mail", "reports"]
    assert json.loads(rows[1]["options"])["concurrent_jobs"] == 8


def test_what_is_declared_no_more_has_only_runs(make_run: MakeRun) -> None:
    make_run(queue="old")

    with pytest.raises(CommandError, match=r"It is no longer declared\. To see its runs, add --runs\."):
        command("showjobs", "--queue=old")
