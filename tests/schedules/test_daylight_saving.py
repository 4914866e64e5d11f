"""Clocks are shifted, and ticks go on: each due time makes one run, at the right moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from django_jobqueue.models import Run, Skip
from django_jobqueue.scheduler import Scheduler
from tests.schedules.conftest import MakeSchedule

pytestmark = pytest.mark.django_db

BERLIN, NEW_YORK, LORD_HOWE, SAO_PAULO = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
)


@pytest.mark.parametrize(
    ("zone", "line", "start", "hours", "expected"),
    [
        # Spring in Berlin: 02:00 is 03:00. A fixed time is due when the clocks go on; real time just goes on.
        (BERLIN, "30 2 * * *", "2026-03-29T00:00", 3, "03:00+0200"),
        (BERLIN, "0 3 * * *", "2026-03-29T00:00", 3, "03:00+0200"),
        (BERLIN, "15,45 2,3 * * *", "2026-03-29T00:00", 3, "03:00+0200 03:15+0200 03:45+0200"),
        (BERLIN, "*/30 * * * *", "2026-03-29T00:00", 2, "01:30+0100 03:00+0200 03:30+0200 04:00+0200"),
        (BERLIN, "*/20 2 * * *", "2026-03-29T00:00", 3, ""),
        # Autumn in Berlin: 02:00 to 03:00 comes twice. A fixed time is due the first time.
        (BERLIN, "30 2 * * *", "2026-10-25T00:00", 3, "02:30+0200"),
        (BERLIN, "0 2,3 * * *", "2026-10-24T23:00", 4, "02:00+0200 03:00+0100"),
        (BERLIN, "30 * * * *", "2026-10-24T23:00", 4, "01:30+0200 02:30+0200 02:30+0100 03:30+0100"),
        (BERLIN, "*/30 2 * * *", "2026-10-25T00:00", 3, "02:30+0200 02:00+0100 02:30+0100"),
        # New York, 2 a.m. in the west of UTC
        (NEW_YORK, "30 2 * * *", "2026-03-08T06:00", 3, "03:00-0400"),
        (NEW_YORK, "30 1 * * *", "2026-11-01T04:00", 4, "01:30-0400"),
        (NEW_YORK, "*/30 1 * * *", "2026-11-01T04:30", 3, "01:00-0400 01:30-0400 01:00-0500 01:30-0500"),
        # Lord Howe: half an hour
        (LORD_HOWE, "15 2 * * *", "2026-10-03T14:00", 3, "02:30+1100"),
        (LORD_HOWE, "45 1 * * *", "2026-04-04T14:00", 3, "01:45+1100"),
        (LORD_HOWE, "*/30 * * * *", "2026-04-04T14:00", 2, "01:30+1100 01:30+1030 02:00+1030 02:30+1030"),
        # São Paulo 2018: at midnight, which was not there, or came twice
        (SAO_PAULO, "0 0 * * *", "2018-11-04T02:00", 3, "01:00-0200"),
        (SAO_PAULO, "30 23 * * *", "2018-02-18T01:00", 4, "23:30-0200"),
        (SAO_PAULO, "0 * * * *", "2018-02-18T00:30", 3, "23:00-0200 23:00-0300 00:00-0300"),
    ],
)
@pytest.mark.parametrize("step", [5, 7], ids=["at_the_very_minutes", "around_them"])
def test_each_due_time_makes_one_run_at_its_moment(
    make_schedule: MakeSchedule, zone: str, line: str, start: str, hours: int, expected: str, step: int
) -> None:
    begin = datetime.fromisoformat(start).replace(tzinfo=UTC)
    make_schedule(begin, cron=line, timezone=zone, misfire="catch_up")
    scheduler = Scheduler()

    for minutes in range(0, hours * 60 + step, step):
        scheduler.tick(begin + timedelta(minutes=min(minutes, hours * 60)))

    fired = [run.fires_at for run in Run.objects.order_by("id") if run.fires_at is not None]
    assert " ".join(f"{due.astimezone(ZoneInfo(zone)):%H:%M%z}" for due in fired) == expected
    assert not Skip.objects.exists()


@pytest.mark.parametrize("start", ["2026-03-29T00:00", "2026-10-25T00:00"], ids=["gap", "fold"])
def test_an_interval_knows_no_clocks(make_schedule: MakeSchedule, start: str) -> None:
    begin = datetime.fromisoformat(start).replace(tzinfo=UTC)
    make_schedule(begin, every_seconds=1800)
    scheduler = Scheduler()

    for minutes in range(0, 181, 5):
        scheduler.tick(begin + timedelta(minutes=minutes))

    fired = list(Run.objects.order_by("id").values_list("fires_at", flat=True))
    assert fired == [begin + number * timedelta(minutes=30) for number in range(1, 7)]


@pytest.mark.parametrize(("start", "expected"), [("2026-03-29", "03:00+0200"), ("2026-10-25", "02:30+0200")])
def test_a_night_that_nobody_looked_is_made_up_for_once(make_schedule: MakeSchedule, start: str, expected: str) -> None:
    begin = datetime.fromisoformat(start).replace(tzinfo=UTC)
    make_schedule(begin, cron="30 2 * * *", timezone=BERLIN)

    Scheduler().tick(begin + timedelta(hours=12))
    Scheduler().tick(begin + timedelta(hours=12, seconds=1))

    run = Run.objects.get()
    assert run.fires_at is not None
    assert (f"{run.fires_at.astimezone(ZoneInfo(BERLIN)):%H:%M%z}", run.missed) == (expected, None)
