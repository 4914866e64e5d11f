"""A due time at which an earlier run is still live goes by the overlap rule."""

from __future__ import annotations

import pytest

from django_jobqueue import job
from django_jobqueue.models import Run, Schedule, Skip
from tests.schedules.conftest import Fired, MakeSchedule, TickAt, at

pytestmark = pytest.mark.django_db


def end_runs() -> None:
    Run.objects.update(state="completed", reason="returned", finished_at=at("12:00"), lease_until=None)


def start_runs() -> None:
    Run.objects.filter(state="pending").update(state="running", attempt=1, lease_until=at("13:00"))


def test_allow_makes_another_run(make_schedule: MakeSchedule, tick: TickAt, fired: Fired) -> None:
    make_schedule("11:30", cron="0 * * * *")

    tick("12:00")
    tick("13:00")

    assert fired() == ["12:00", "13:00"]


@pytest.mark.parametrize("running", [False, True])
def test_skip_makes_none_while_one_is_live_and_records_it(
    make_schedule: MakeSchedule, tick: TickAt, fired: Fired, running: bool
) -> None:
    schedule = make_schedule("11:30", cron="0 * * * *", overlap="skip")
    tick("12:00")
    if running:
        start_runs()

    tick("13:00")
    tick("14:00")

    assert fired() == ["12:00"]
    [skip] = Skip.objects.all()
    assert (skip.reason, skip.first_at, skip.last_at, skip.number) == ("overlap", at("13:00"), at("14:00"), 2)
    schedule.refresh_from_db()
    assert (schedule.skip_reason, schedule.skipped, schedule.last_run_at) == ("overlap", 2, at("12:00"))


def test_skip_fires_again_once_it_has_ended(make_schedule: MakeSchedule, tick: TickAt, fired: Fired) -> None:
    make_schedule("11:30", cron="0 * * * *", overlap="skip")
    tick("12:00")
    tick("13:00")

    end_runs()
    tick("14:00")

    assert fired() == ["12:00", "14:00"]


def test_skip_lets_one_of_several_due_times_fire(make_schedule: MakeSchedule, tick: TickAt, fired: Fired) -> None:
    make_schedule("12:00", every_seconds=10, overlap="skip")

    tick("12:00:35")

    assert fired() == ["12:00:10"]
    [skip] = Skip.objects.all()
    assert (skip.first_at, skip.last_at, skip.number) == (at("12:00:20"), at("12:00:30"), 2)


def test_the_runs_of_other_schedules_do_not_count(make_schedule: MakeSchedule, tick: TickAt, fired: Fired) -> None:
    make_schedule("11:30", name="others", cron="30 * * * *")
    make_schedule("12:15", cron="0 * * * *", overlap="skip")
    tick("12:30")

    tick("13:00")

    assert fired("others") == ["12:30"]
    assert fired() == ["13:00"]


def test_queue_waits_until_the_run_has_ended(make_schedule: MakeSchedule, tick: TickAt, fired: Fired) -> None:
    make_schedule("12:00", every_seconds=30, overlap="queue")
    tick("12:00:30")

    waiting = tick("12:01:00")
    end_runs()
    done = tick("12:01:10")

    assert (waiting.fired, done.fired) == (0, 1)
    assert fired() == ["12:00:30", "12:01"]
    assert not Skip.objects.exists()


def test_queue_lets_due_times_wait_one_behind_the_other(
    make_schedule: MakeSchedule, tick: TickAt, fired: Fired
) -> None:
    make_schedule("12:00", every_seconds=20, overlap="queue")
    tick("12:00:20")

    for second in (10, 12, 14):  # the run took until 12:01:10, and the next ones are quick
        end_runs()
        tick(f"12:01:{second}")

    assert fired() == ["12:00:20", "12:00:40", "12:01"]


def test_what_has_waited_for_more_than_a_minute_goes_by_the_misfire_rule(
    make_schedule: MakeSchedule, tick: TickAt, fired: Fired
) -> None:
    make_schedule("11:30", cron="0 * * * *", overlap="queue")
    make_schedule("11:30", name="each", cron="0 * * * *", overlap="queue", misfire="catch_up")
    tick("12:00")
    tick("16:30")

    for minute in range(30, 36):
        end_runs()
        tick(f"16:{minute}")

    assert fired() == ["12:00", "16:00 +3"]
    assert fired("each") == ["12:00", "13:00", "14:00", "15:00", "16:00"]


def test_one_that_waits_holds_up_no_other(make_schedule: MakeSchedule, tick: TickAt, fired: Fired) -> None:
    make_schedule("11:30", name="waits", cron="0 * * * *", overlap="queue")
    make_schedule("11:30", cron="0 * * * *")
    tick("12:00")

    tick("13:00")

    assert fired("waits") == ["12:00"]
    assert fired() == ["12:00", "13:00"]
    assert Schedule.objects.get(name="waits").next_run_at == at("13:00")


def test_a_due_time_whose_run_would_be_a_duplicate_makes_none_and_that_is_recorded(
    make_schedule: MakeSchedule, tick: TickAt, fired: Fired
) -> None:
    job(queue="mail", name="once", unique="live")(lambda: None)
    schedule = make_schedule("09:00", job="once", every_seconds=3600)
    tick("10:00")

    tick("11:00")

    schedule.refresh_from_db()
    skip = Skip.objects.get()
    assert fired() == ["10:00"]
    assert (skip.reason, skip.number, skip.last_at) == ("duplicate", 1, at("11:00"))
    assert (schedule.last_run_at, schedule.accounted_until) == (at("10:00"), at("11:00"))
    Run.objects.all().cancel_pending()
    tick("12:00")
    assert fired() == ["10:00", "12:00"]
