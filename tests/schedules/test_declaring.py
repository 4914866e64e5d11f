"""Schedules are declared at the job or in the settings, and what is wrong with them is told by the checks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.checks import run_checks
from pytest_django import Settings

from django_jobqueue import job, schedule
from django_jobqueue.conf import ScheduleOptions, get_config
from django_jobqueue.errors import ConfigError
from django_jobqueue.jobs import DeclaredSchedule, declared_schedules
from django_jobqueue.states import Misfire, Overlap

pytestmark = pytest.mark.sqlite  # no database is asked


def digest(period: str = "day") -> None:
    """Send a digest."""


def period_of(fires_at: datetime) -> dict[str, Any]:
    return {"period": f"{fires_at:%Y-%m-%d}"}


def declared() -> dict[str, DeclaredSchedule]:
    found, problems = declared_schedules()
    assert problems == []
    return found


def told() -> list[str]:
    return [message.msg for message in run_checks(tags=["jobqueue"]) if message.id == "jobqueue.E004"]


def test_a_job_is_scheduled_by_a_cron_line() -> None:
    job(queue="mail", schedule="0 2 * * *")(digest)

    found = declared()["mail.digest"]
    assert (found.queue, found.job, found.origin) == ("mail", "digest", "code")
    assert found.options == ScheduleOptions(cron="0 2 * * *")


def test_or_by_a_mapping_of_options() -> None:
    options = {
        "cron": "@Daily",
        "timezone": "Europe/Berlin",
        "payload": {"period": "week"},
        "starts_at": "2026-05-01T00:00+02:00",
        "ends_at": datetime(2027, 5, 1, tzinfo=UTC),
        "priority": 5,
        "tags": ["nightly"],
        "misfire": "catch_up",
        "max_catch_up": 7,
        "overlap": "skip",
        "enabled": False,
    }

    job(queue="mail", schedule=options)(digest)

    found = declared()["mail.digest"].options
    assert (found.cron, found.timezone) == ("@daily", "Europe/Berlin")
    assert found.starts_at == datetime(2026, 4, 30, 22, tzinfo=UTC)
    assert (found.misfire, found.max_catch_up, found.overlap) == (Misfire.CATCH_UP, 7, Overlap.SKIP)
    assert not found.enabled


def test_several_schedules_of_a_job_have_names() -> None:
    several = [schedule("0 2 * * *"), schedule(every_seconds=60, name="often", payload={"period": "minute"})]

    job(queue="mail", schedule=several)(digest)

    assert {name: found.options.cron for name, found in declared().items()} == {
        "mail.digest": "0 2 * * *",
        "often": None,
    }


def test_the_settings_win_over_the_code(settings: Settings) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {"jobs": {"digest": {"schedule": "0 5 * * *"}}}}}
    job(queue="mail", schedule=["0 2 * * *"])(digest)

    found = declared()["mail.digest"]
    assert (found.options.cron, found.origin) == ("0 5 * * *", "settings")


def test_the_settings_can_silence_a_schedule(settings: Settings) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {"jobs": {"digest": {"schedule": []}}}}}
    job(queue="mail", schedule="0 2 * * *")(digest)

    assert declared() == {}


def test_the_settings_declare_schedules_of_their_own(settings: Settings) -> None:
    job(queue="mail")(digest)
    settings.JOBQUEUE = {
        "queues": {"mail": {}},
        "schedules": {"weekly": {"queue": "mail", "job": "digest", "cron": "@weekly", "payload": {"period": "week"}}},
    }

    found = declared()["weekly"]
    assert (found.queue, found.job, found.origin) == ("mail", "digest", "settings")
    assert found.options.payload == {"period": "week"}


@pytest.mark.parametrize("payload", [period_of, f"{__name__}.period_of"])
def test_a_function_can_make_the_payload(payload: Any) -> None:
    job(queue="mail", schedule=schedule("@daily", payload=payload))(digest)

    found = declared()["mail.digest"]
    assert found.payload_function is period_of
    assert found.payload_path == f"{__name__}.period_of"
    assert told() == []


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("61 * * * *", "'61' in the field 'minute' is not from 0 to 59"),
        ("0 0 30 2 *", "is never due"),
        ({}, "has either cron or every_seconds"),
        ({"cron": "@daily", "every_seconds": 5}, "has either cron or every_seconds"),
        ({"every_seconds": 0}, '["every_seconds"]: must be a number from 1 to 31622400, got 0'),
        ({"every_seconds": float("nan")}, "must be a number"),
        ({"every_seconds": -5}, "must be a number"),
        ({"cron": "@daily", "timezone": "Mars/Base"}, "'Mars/Base' is not a time zone"),
        ({"cron": "@daily", "timezone": "Europe/Berln"}, "Did you mean 'Europe/Berlin'?"),
        ({"every_seconds": 5, "timezone": "UTC"}, "timezone: an interval is the same in every time zone"),
        ({"cron": "@daily", "starts_at": "2026-05-02T00:00Z", "ends_at": "2026-05-01T00:00Z"}, "is before starts_at"),
        ({"cron": "@daily", "starts_at": "2026-05-02"}, "must be a datetime with a time zone"),
        ({"cron": "@daily", "starts_at": datetime(2026, 5, 1)}, "must be a datetime with a time zone"),  # noqa: DTZ001
        ({"cron": "@daily", "starts_at": "2026-13-40T00:00Z"}, "must be a datetime with a time zone"),
        ({"cron": "@daily", "misfire": "sometimes"}, "must be one of 'fire_once', 'skip', 'catch_up'"),
        ({"cron": "@daily", "overlap": "maybe"}, "must be one of 'allow', 'skip', 'queue'"),
        ({"cron": "@daily", "max_catch_up": 5}, "not read where misfire is 'fire_once'"),
        ({"cron": "@daily", "misfire": "catch_up", "max_catch_up": 0}, "must be a whole number from 1 to 1000"),
        (
            {"cron": "@daily", "payload": 5},
            '["payload"]: must be a mapping, a function, or the dotted path of one, got 5',
        ),
        ({"cron": "@daily", "payload": "lambda: {}"}, "must be a mapping, a function, or the dotted path of one"),
        ({"cron": "@daily", "name": "0 bad"}, "is not a valid name"),
        ({"crom": "@daily"}, "unknown option 'crom'. Did you mean 'cron'?"),
        ({"cron": "@daily", "priority": 101}, "must be a whole number from -100 to 100"),
        (["@daily", "@hourly"], "another schedule of this job has the same name"),
        (5, "must be a mapping, got 5"),
    ],
)
def test_a_wrong_schedule_is_refused_at_its_place(settings: Settings, given: Any, problem: str) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {"jobs": {"digest": {"schedule": given}}}}}

    with pytest.raises(ConfigError) as caught:
        get_config()

    [found] = caught.value.problems
    assert found.startswith('JOBQUEUE["queues"]["mail"]["jobs"]["digest"]["schedule"]')
    assert problem in found


def test_a_queue_has_no_schedule(settings: Settings) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {"schedule": "@daily"}}}

    with pytest.raises(ConfigError, match="unknown option 'schedule'"):
        get_config()


def test_a_schedule_of_the_settings_names_its_job(settings: Settings) -> None:
    settings.JOBQUEUE = {"schedules": {"weekly": {"cron": "@weekly"}}}

    with pytest.raises(ConfigError, match=r'JOBQUEUE\["schedules"\]\["weekly"\]: has no job'):
        get_config()


@pytest.mark.parametrize(
    ("weekly", "problem"),
    [
        ({"queue": "mial", "job": "digest"}, "'mial' is not a queue. Did you mean 'mail'?"),
        ({"queue": "mail", "job": "digset"}, "'digset' is not a job of queue 'mail'. Did you mean 'digest'?"),
        ({"queue": "mail", "job": "digest", "payload": {"perod": 1}}, "Did you mean 'period'?"),
        ({"queue": "mail", "job": "digest", "payload": {"period": {1}}}, "must be text, got set"),
        ({"queue": "mail", "job": "digest", "payload": "shop.nowhere.made"}, "cannot be imported"),
        ({"queue": "mail", "job": "digest", "payload": f"{__name__}.period_off"}, "Did you mean 'period_of'?"),
    ],
)
def test_the_checks_tell_of_a_schedule_that_can_make_no_run(
    settings: Settings, weekly: dict[str, Any], problem: str
) -> None:
    job(queue="mail")(digest)
    settings.JOBQUEUE = {"queues": {"mail": {}}, "schedules": {"weekly": {"cron": "@weekly", **weekly}}}

    [found] = told()

    assert found.startswith("Schedule 'weekly': ") or "of schedule 'weekly'" in found
    assert problem in found


def test_the_checks_tell_of_two_schedules_of_one_name(settings: Settings) -> None:
    job(queue="mail", schedule=schedule("@daily", name="weekly"))(digest)
    settings.JOBQUEUE = {
        "queues": {"mail": {}},
        "schedules": {"weekly": {"queue": "mail", "job": "digest", "cron": "@weekly"}},
    }

    assert told() == ["Schedule 'weekly' is declared twice: for mail.digest and mail.digest. Rename one."]


def test_wrong_schedules_in_code_are_found_by_the_checks_and_not_by_the_import() -> None:
    job(queue="mail", schedule="61 * * * *")(digest)

    [problem] = [message.msg for message in run_checks(tags=["jobqueue"]) if message.id == "jobqueue.E002"]

    assert problem.startswith(f'@job {__name__}.digest["schedule"]["cron"]: \'61\' in the field')
