"""``showschedules``, ``fireschedule`` and ``testcron``."""

from __future__ import annotations

import csv
import json
from io import StringIO

import pytest
from django.core.management import CommandError
from pytest_django import Settings

from django_jobqueue import job, schedule
from django_jobqueue.management.command import operator
from django_jobqueue.models import Activity, Run, Schedule
from django_jobqueue.operations import schedule_create, schedule_edit, schedule_toggle
from django_jobqueue.queue import Queue
from tests.commands.conftest import command


def ping() -> None:
    """Do nothing."""


# --- testcron --------------------------------------------------------------------------------------------------------


def test_testcron_shows_the_next_due_times_in_the_zone_and_in_utc() -> None:
    told = command(
        "testcron", "0 9 * * mon", "--timezone", "Europe/Berlin", "--after", "2026-07-01T00:00Z", "--count=2"
    )

    assert told.lines == [
        "Europe/Berlin              UTC               shift of clocks",
        "Mon 2026-07-06 09:00 CEST  2026-07-06 07:00",
        "Mon 2026-07-13 09:00 CEST  2026-07-13 07:00",
    ]


def test_testcron_marks_gaps_and_folds_and_says_what_they_do() -> None:
    told = command("testcron", "30 2 * * *", "--timezone", "Europe/Berlin", "--after", "2027-03-27T12:00Z", "--count=1")

    assert told.lines[1:] == [
        "Sun 2027-03-28 03:00 CEST  2027-03-28 01:00  gap",
        "2027-03-28: clocks skip 02:30. It is due at 03:00 instead.",
        "2027-10-31: clocks show 02:30 twice. It is due the first time only.",
        "2028-03-26: clocks skip 02:30. It is due at 03:00 instead.",
    ]


def test_testcron_tells_programs_the_same() -> None:
    told = command("testcron", "@daily", "--after", "2026-07-01T12:00Z", "--count=1", "--timezone=UTC", "--format=json")

    assert json.loads(told.out) == {
        "cron": "@daily",
        "timezone": "UTC",
        "due": [{"local": "2026-07-02T00:00:00+00:00", "utc": "2026-07-02T00:00:00+00:00", "shift": None}],
        "warnings": [],
    }


def test_testcron_goes_by_the_time_zone_of_the_project(settings: Settings) -> None:
    settings.TIME_ZONE = "Asia/Kathmandu"

    told = command("testcron", "0 0 * * *", "--after", "2026-07-01T12:00Z", "--count=1")

    assert told.lines[1] == "Thu 2026-07-02 00:00 +0545  2026-07-01 18:15"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["61 * * * *"], "'61' in the field 'minute' is not from 0 to 59."),
        (["0 0 30 2 *"], "is never due"),
        (["@reboot"], "is not a word that stands for a line"),
        (["@daily", "--timezone=Mars/Base"], "'Mars/Base' is not a time zone."),
        (["@daily", "--count=0"], "must be a whole number from 1 to 1000"),
        (["\x1b[31m"], "does not have five fields"),
    ],
)
def test_testcron_refuses_what_is_wrong(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError) as caught:
        command("testcron", *arguments)

    assert message in str(caught.value)
    assert "\x1b" not in str(caught.value)


# --- showschedules ---------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_showschedules_shows_what_code_declares_before_any_worker_has_started(mail: Queue) -> None:
    job(queue="mail", schedule=schedule("0 2 29 2 *", timezone="Europe/Berlin"))(ping)

    [titles, line] = command("showschedules").lines

    assert titles.split("  ")[0] == "schedule"
    assert line.startswith("mail.ping  enabled  0 2 29 2 * (Europe/Berlin)  ")
    assert "(in " in line
    assert line.endswith("  mail.ping")


@pytest.mark.django_db
def test_showschedules_tells_what_was_changed_and_what_came_of_the_last_due_time(mail: Queue) -> None:
    job(queue="mail", schedule="@daily")(ping)
    command("showschedules")
    schedule_edit("mail.ping", cron="@hourly", actor="ann")
    schedule_create("often", queue="mail", job="ping", every_seconds=90, actor="ann")
    schedule_toggle("often", enabled=False, actor="ann")
    Schedule.objects.filter(name="often").update(skip_reason="overlap", skipped=3)

    lines = command("showschedules").lines

    assert "mail.ping  enabled*  @hourly" in lines[1]
    assert "often      disabled  every 90 s" in lines[2]
    assert "no run: overlap (3 times)" in lines[2]


@pytest.mark.django_db
def test_showschedules_tells_programs_the_same(mail: Queue) -> None:
    job(queue="mail", schedule="@daily")(ping)

    [record] = json.loads(command("showschedules", "--format=json").out)
    [row] = csv.DictReader(StringIO(command("showschedules", "--format=csv").out))

    assert (record["name"], record["state"], record["queue"], record["job"]) == ("mail.ping", "enabled", "mail", "ping")
    assert (record["outcome"], record["origin"], record["overrides"]) == (None, "code", {})
    assert (row["name"], row["next_run_at"]) == ("mail.ping", record["next_run_at"])


@pytest.mark.django_db
def test_showschedules_says_that_there_are_none(mail: Queue) -> None:
    told = command("showschedules")

    assert (told.out, told.err) == ("", "There are no schedules.\n")


@pytest.mark.django_db
def test_showschedules_tells_of_a_schedule_that_can_make_no_run(settings: Settings) -> None:
    settings.JOBQUEUE = {"schedules": {"weekly": {"job": "pign", "cron": "@weekly"}}}

    assert "Schedule 'weekly': 'pign' is not a job of queue 'default'." in command("showschedules").err


# --- fireschedule ----------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_fireschedule_makes_a_run_and_prints_its_id(mail: Queue) -> None:
    job(queue="mail", schedule="@daily")(ping)

    told = command("fireschedule", "mail.ping", "--reason", "to see it")

    run = Run.objects.get()
    assert told.out == f"{run.pk}\n"
    assert (run.queue, run.job, run.fires_at) == ("mail", "ping", None)
    activity = Activity.objects.get(operation="jobs.schedule.fire_now")
    assert (activity.actor, activity.reason) == (operator(), "to see it")


@pytest.mark.django_db
def test_fireschedule_tells_programs_the_same(mail: Queue) -> None:
    job(queue="mail", schedule="@daily")(ping)

    told = json.loads(command("fireschedule", "mail.ping", "--format=json").out)

    assert told == {"run": Run.objects.get().pk, "schedule": "mail.ping", "queue": "mail", "job": "ping"}


@pytest.mark.django_db
def test_fireschedule_tells_that_the_run_of_a_unique_job_is_there(mail: Queue) -> None:
    job(queue="mail", schedule="@daily", unique="live")(ping)
    first = command("fireschedule", "mail.ping").out.strip()

    with pytest.raises(CommandError, match=f"'ping' of queue 'mail' is unique, and run {first} has the same key"):
        command("fireschedule", "mail.ping")

    assert Run.objects.get().pk == int(first)


@pytest.mark.django_db
def test_fireschedule_refuses_a_name_that_there_is_not(mail: Queue) -> None:
    job(queue="mail", schedule="@daily")(ping)

    with pytest.raises(CommandError, match=r"'mail\.pign' is not a schedule\. Did you mean 'mail\.ping'\?"):
        command("fireschedule", "mail.pign")

    assert not Run.objects.exists()
