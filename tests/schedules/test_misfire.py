"""Due times that nobody was there for go by the misfire rule, and every one of them is explained."""

from __future__ import annotations

import pytest

from django_jobqueue.models import Schedule, Skip
from tests.schedules.conftest import Fired, MakeSchedule, TickAt, at

pytestmark = pytest.mark.django_db


def test_fire_once_makes_one_run_that_says_how_many_it_stands_for(
    make_schedule: MakeSchedule, tick: TickAt, fired: Fired
) -> None:
    make_schedule("5:30", cron="0 * * * *")

    tick("12:10")
    tick("13:00")

    assert fired() == ["12:00 +6", "13:00"]
    assert not Skip.objects.exists()


def test_skip_makes_none_and_records_which(make_schedule: MakeSchedule, tick: TickAt, fired: Fired) -> None:
    schedule = make_schedule("5:30", cron="0 * * * *", misfire="skip")

    tick("12:10")

    assert fired() == []
    [skip] = Skip.objects.all()
    assert (skip.schedule, skip.reason, skip.first_at, skip.last_at, skip.number) == (
        schedule,
        "misfire",
        at("6:00"),
        at("12:00"),
        7,
    )
    schedule.refresh_from_db()
    assert (schedule.next_run_at, schedule.last_run_at) == (at("13:00"), None)
    assert (schedule.skipped_since, schedule.skip_reason, schedule.skipped) == (at("6:00"), "misfire", 7)


def test_a_run_ends_the_series_of_skips(make_schedule: MakeSchedule, tick: TickAt, fired: Fired) -> None:
    schedule = make_schedule("5:30", cron="0 * * * *", misfire="skip")

    tick("12:10")
    tick("13:00")

    assert fired() == ["13:00"]
    schedule.refresh_from_db()
    assert (schedule.skipped_since, schedule.skip_reason, schedule.skipped) == (None, None, 0)


def test_skips_that_follow_each_other_are_one_record(make_schedule: MakeSchedule, tick: TickAt) -> None:
    make_schedule("5:30", cron="0 * * * *", misfire="skip")

    tick("7:10")
    tick("9:10")

    [skip] = Skip.objects.all()
    assert (skip.first_at, skip.last_at, skip.number) == (at("6:00"), at("9:00"), 4)


def test_catch_up_makes_a_run_for_each_and_records_those_beyond_its_limit(
    make_schedule: MakeSchedule, tick: TickAt, fired: Fired
) -> None:
    make_schedule("5:30", cron="0 * * * *", misfire="catch_up", max_catch_up=3)

    tick("12:10")

    assert fired() == ["10:00", "11:00", "12:00"]
    [skip] = Skip.objects.all()
    assert (skip.reason, skip.first_at, skip.last_at, skip.number) == ("misfire", at("6:00"), at("9:00"), 4)


def test_a_laptop_that_slept_makes_one_run_not_ten(make_schedule: MakeSchedule, tick: TickAt, fired: Fired) -> None:
    make_schedule("12:00", every_seconds=60)
    tick("12:01")

    tick("12:11:30")

    assert fired() == ["12:01", "12:11 +9"]


def test_a_daily_deploy_does_not_keep_a_weekly_schedule_from_running(
    make_schedule: MakeSchedule, tick: TickAt, fired: Fired
) -> None:
    make_schedule("12:00", every_seconds=7 * 86400)

    for day in range(1, 10):
        tick(f"{day}T12:00:30")  # by a process of its own

    assert fired() == ["2026-05-08T12:00"]


def test_a_clock_that_was_early_does_not_fire_the_same_time_again(
    make_schedule: MakeSchedule, tick: TickAt, fired: Fired
) -> None:
    make_schedule("11:30", cron="0 * * * *")

    tick("12:00")
    tick("11:59:59.997")  # another worker, or the clock was set back
    tick("12:00:00.001")

    assert fired() == ["12:00"]


def test_what_fired_is_remembered_when_the_run_is_purged(
    make_schedule: MakeSchedule, tick: TickAt, fired: Fired
) -> None:
    schedule = make_schedule("11:30", cron="0 * * * *")
    tick("12:00")
    schedule.runs.all().delete()

    Schedule.objects.update(next_run_at=at("12:00"))  # set back by hand
    tick("12:00:30")

    assert fired() == []
    schedule.refresh_from_db()
    assert schedule.next_run_at == at("13:00")
