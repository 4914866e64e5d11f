"""What can be wrong with the run of a schedule does not stop the others, and is there to be seen."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from django_jobqueue import job, queues, schedule
from django_jobqueue.models import Run, Schedule, Skip
from django_jobqueue.operations.schedule_sync import sync_schedules
from django_jobqueue.operations.schedules import schedule_fire_now
from tests.schedules.conftest import Fired, MakeSchedule, TickAt, at, send

pytestmark = pytest.mark.django_db


def declare(payload: Any) -> None:
    """Declare the schedule ``made``, whose payload is made, and let it be due hourly."""
    job(queue="mail", name="post", schedule=schedule("0 * * * *", name="made", payload=payload))(send)
    sync_schedules()
    Schedule.objects.filter(name="made").update(next_run_at=at("12:00"))


def test_a_payload_function_is_called_for_each_run(tick: TickAt) -> None:
    declare(lambda fires_at: {"to": fires_at.isoformat()})

    tick("12:00")
    tick("13:00")

    assert [run.payload["to"] for run in Run.objects.order_by("id")] == [
        "2026-05-01T12:00:00+00:00",
        "2026-05-01T13:00:00+00:00",
    ]


def test_a_run_that_is_fired_now_has_a_payload_of_now() -> None:
    declare(lambda fires_at: {"to": fires_at.isoformat()})

    made_for = datetime.fromisoformat(schedule_fire_now("made", actor="ann").payload["to"])

    assert abs(timezone.now() - made_for) < timedelta(minutes=1)


def raises(fires_at: datetime) -> Mapping[str, Any]:
    raise RuntimeError("the moon is full")


def breaks_the_transaction(fires_at: datetime) -> Mapping[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM nowhere")
    return {}


def is_no_mapping(fires_at: datetime) -> Any:
    return 5


def does_not_fit(fires_at: datetime) -> Mapping[str, Any]:
    return {"too": "bob"}


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (raises, "RuntimeError: the moon is full"),
        (breaks_the_transaction, "nowhere"),
        (is_no_mapping, "payload: must be a mapping"),
        (does_not_fit, "Did you mean 'to'?"),
        ("shop.nowhere.made", "cannot be imported"),
    ],
)
def test_a_payload_that_cannot_be_made_is_recorded_and_stops_no_other(
    make_schedule: MakeSchedule, tick: TickAt, fired: Fired, payload: Any, error: str
) -> None:
    declare(payload)
    make_schedule("11:30", cron="0 * * * *")

    tick("12:00")
    tick("13:00")

    assert (fired("made"), fired()) == ([], ["12:00", "13:00"])
    [skip] = Skip.objects.all()
    assert (skip.reason, skip.first_at, skip.last_at, skip.number) == ("refused", at("12:00"), at("13:00"), 2)
    assert skip.error is not None
    assert error in skip.error
    assert Schedule.objects.get(name="made").next_run_at == at("14:00")


def test_a_run_that_the_project_does_not_let_be_added_is_recorded(tick: TickAt, fired: Fired) -> None:
    allowed = [False, True]
    options = {"schedule": "0 * * * *", "preflight": {"on_before_add": lambda new: allowed.pop(0)}}
    job(queue="mail", name="post", **options)(send)
    sync_schedules()
    Schedule.objects.update(next_run_at=at("12:00"))

    tick("12:00")
    tick("13:00")

    assert fired("mail.post") == ["13:00"]
    assert Skip.objects.get().reason == "vetoed"


def test_a_question_to_the_project_that_fails_is_recorded_and_stops_no_other(
    make_schedule: MakeSchedule, tick: TickAt, fired: Fired
) -> None:
    job(queue="mail", name="post", preflight={"on_before_add": breaks_the_transaction})(send)
    make_schedule("11:30", name="asks", job="post", cron="0 * * * *")
    make_schedule("11:30", cron="0 * * * *")

    tick("12:00")

    assert (fired("asks"), fired()) == ([], ["12:00"])
    assert Skip.objects.get().reason == "refused"


def test_a_payload_that_does_not_fit_its_job_any_more_is_refused_when_it_fires(
    make_schedule: MakeSchedule, tick: TickAt
) -> None:
    made = make_schedule("11:30", cron="0 * * * *", payload={"recipient": "bob"})

    tick("12:00")

    [skip] = Skip.objects.all()
    assert (skip.schedule, skip.reason) == (made, "refused")
    assert "'recipient' is not a parameter" in str(skip.error)


@pytest.mark.parametrize("target", [{"job": "sned"}, {"queue": "mial"}])
def test_a_job_that_is_not_known_here_is_left_to_other_releases_for_a_minute(
    make_schedule: MakeSchedule, tick: TickAt, fired: Fired, target: dict[str, str]
) -> None:
    make_schedule("11:30", name="unknown", cron="0 * * * *", **target)
    make_schedule("11:30", cron="0 * * * *")

    tick("12:01:00")
    assert fired() == ["12:00"]
    assert not Skip.objects.exists()
    assert Schedule.objects.get(name="unknown").next_run_at == at("12:00")

    tick("12:01:01")
    [skip] = Skip.objects.all()
    assert (skip.reason, skip.first_at) == ("refused", at("12:00"))
    assert "Did you mean" in str(skip.error)
    assert Schedule.objects.get(name="unknown").next_run_at == at("13:00")


def test_a_payload_function_that_is_not_known_here_is_left_too(tick: TickAt) -> None:
    declare(does_not_fit)
    Schedule.objects.update(name="of_another_release")

    tick("12:00:30")
    assert not Skip.objects.exists()

    tick("12:01:01")
    assert "is not known to this release" in str(Skip.objects.get().error)


@pytest.mark.parametrize("wrong", [{"cron": "61 * * * *"}, {"cron": None}, {"timezone": "Mars/Base"}])
def test_a_row_that_somebody_has_broken_by_hand_stops_no_other(
    make_schedule: MakeSchedule, tick: TickAt, fired: Fired, wrong: dict[str, Any]
) -> None:
    make_schedule("11:30", name="broken", cron="0 * * * *")
    make_schedule("11:30", cron="0 * * * *")
    Schedule.objects.filter(name="broken").update(**wrong)

    tick("12:00")

    assert (fired("broken"), fired()) == ([], ["12:00"])
    assert Skip.objects.get().reason == "refused"
    assert Schedule.objects.get(name="broken").next_run_at is None


def test_the_schedules_of_another_namespace_are_not_ours(
    make_schedule: MakeSchedule, tick: TickAt, settings: Settings
) -> None:
    make_schedule("11:30", cron="0 * * * *")
    settings.JOBQUEUE = {"namespace": "other", "queues": {"mail": {}}}

    assert tick("12:00") == (0, None)
    assert not queues.mail.runs().exists()
