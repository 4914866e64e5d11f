"""A tick makes one run for each due time, and moves the schedule on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pytest_django import Settings

from django_jobqueue.models import Run
from django_jobqueue.scheduler import Scheduler
from tests.schedules.conftest import Fired, MakeSchedule, TickAt, at

pytestmark = pytest.mark.django_db


def test_a_due_schedule_makes_a_run_for_its_due_time(make_schedule: MakeSchedule, tick: TickAt) -> None:
    schedule = make_schedule("11:30", cron="0 * * * *", payload={"to": "ann"}, priority=7, tags=["hourly"])

    assert tick("12:00:01") == (1, 3599)

    run = Run.objects.get()
    assert (run.queue, run.job, run.payload, run.state) == ("mail", "send", {"to": "ann"}, "pending")
    assert (run.priority, run.tags) == (7, ["hourly"])
    assert (run.schedule, run.fires_at, run.missed) == (schedule, at("12:00"), None)
    schedule.refresh_from_db()
    assert (schedule.last_run, schedule.last_run_at, schedule.next_run_at) == (run, at("12:00"), at("13:00"))


def test_it_fires_once_however_often_one_looks(make_schedule: MakeSchedule, tick: TickAt, fired: Fired) -> None:
    make_schedule("11:30", cron="0 * * * *")

    ticks = [tick(f"12:00:0{second}") for second in range(5)]

    assert [fired for fired, _ in ticks] == [1, 0, 0, 0, 0]
    assert fired() == ["12:00"]


def test_before_it_is_due_nothing_happens(make_schedule: MakeSchedule, tick: TickAt, fired: Fired) -> None:
    make_schedule("11:30", cron="0 * * * *")

    assert tick("11:59:59") == (0, 1)
    assert fired() == []


def test_without_schedules_there_is_nothing_to_wait_for(tick: TickAt) -> None:
    assert tick("12:00") == (0, None)


def test_it_is_due_on_the_dot(make_schedule: MakeSchedule, tick: TickAt, fired: Fired) -> None:
    make_schedule("11:30", cron="0 * * * *")

    tick("12:00")

    assert fired() == ["12:00"]


def test_every_due_time_makes_a_run(make_schedule: MakeSchedule, tick: TickAt, fired: Fired) -> None:
    make_schedule("12:00", every_seconds=10)

    for second in range(0, 60, 7):
        tick(f"12:00:{second:02}")

    assert fired() == ["12:00:10", "12:00:20", "12:00:30", "12:00:40", "12:00:50"]


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Bogota"])  # whose clocks are never shifted
def test_where_moments_have_no_time_zone_it_is_due_by_the_clocks_of_the_project(
    make_schedule: MakeSchedule, settings: Settings, zone: str
) -> None:
    settings.USE_TZ, settings.TIME_ZONE = False, zone
    now = datetime.now(UTC)
    make_schedule(now - timedelta(hours=2), name="late", every_seconds=7000)
    make_schedule(now, name="ahead", every_seconds=1800)

    fired, wait_seconds = Scheduler().tick()

    assert fired == 1
    assert wait_seconds == pytest.approx(1800, abs=60)
    assert Scheduler().tick().fired == 0


def test_where_moments_have_no_time_zone_none_is_due_twice_while_clocks_repeat_an_hour(
    make_schedule: MakeSchedule, tick: TickAt, settings: Settings
) -> None:
    settings.USE_TZ, settings.TIME_ZONE = False, "Europe/Berlin"
    make_schedule("2026-10-25T00:10", name="interval", every_seconds=600)
    make_schedule("2026-10-25T00:10", name="nightly", cron="30 2 * * *")

    for minute in range(121):
        tick(datetime(2026, 10, 25, 0, 10, tzinfo=UTC) + timedelta(minutes=minute))

    runs = Run.objects.order_by("fires_at").values_list("schedule__name", "fires_at")
    due = [(name, f"{fires_at:%H:%M}") for name, fires_at in runs if fires_at is not None]
    assert len(set(due)) == len(due)
    assert [time for name, time in due if name == "nightly"] == ["02:30"]
    assert [time for name, time in due if name == "interval"] == [
        *(f"02:{minute}0" for minute in range(2, 6)),
        "03:00",
        "03:10",
    ]
