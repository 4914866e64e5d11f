"""People are told when a schedule will be due, and what shifts of the clocks will do to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from django_jobqueue.cron import Cron
from django_jobqueue.forecast import forecast, warnings
from django_jobqueue.rhythm import ClockTimes, Interval, Rhythm

pytestmark = pytest.mark.sqlite  # no database is asked

BERLIN = ZoneInfo("Europe/Berlin")
BEFORE_GAP, BEFORE_FOLD = datetime(2027, 3, 27, 12, tzinfo=UTC), datetime(2027, 10, 30, 12, tzinfo=UTC)


def rhythm(line: str, **limits: datetime) -> Rhythm:
    return Rhythm(times=ClockTimes(Cron.parse(line), BERLIN), **limits)


def shown(line: str, after: datetime, number: int) -> list[str]:
    return [
        f"{due.astimezone(BERLIN):%d %H:%M%z}" + (f" {shift}" if shift else "")
        for due, shift in forecast(rhythm(line), after, number)
    ]


def test_a_time_that_clocks_skip_is_marked() -> None:
    assert shown("30 2 * * *", BEFORE_GAP, 2) == ["28 03:00+0200 gap", "29 02:30+0200"]


def test_a_time_that_clocks_show_twice_is_marked() -> None:
    assert shown("30 2 * * *", BEFORE_FOLD, 2) == ["31 02:30+0200 fold", "01 02:30+0100"]


def test_what_follows_real_time_is_marked_both_times() -> None:
    assert shown("*/30 2 * * *", BEFORE_FOLD, 5) == [
        "31 02:00+0200 fold",
        "31 02:30+0200 fold",
        "31 02:00+0100 fold",
        "31 02:30+0100 fold",
        "01 02:00+0100",
    ]


def test_what_is_due_at_the_end_of_a_gap_anyway_is_not_marked() -> None:
    assert shown("0 */3 * * *", BEFORE_GAP + timedelta(hours=12), 1) == ["28 03:00+0200"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("30 2 * * *", ["2027-03-28: clocks skip 02:30. It is due at 03:00 instead.",
                        "2027-10-31: clocks show 02:30 twice. It is due the first time only."]),
        ("*/30 2 * * *", ["2027-03-28: clocks skip 02:00, 02:30. It is not due then.",
                          "2027-10-31: clocks show 02:00, 02:30 twice. It is due both times."]),
        ("* 2 * * *", ["2027-03-28: clocks skip 02:00 to 02:59. It is not due then.",
                       "2027-10-31: clocks show 02:00 to 02:59 twice. It is due both times."]),
        ("@hourly", []),
        ("0 12 * * *", []),
    ],
)  # fmt: skip
def test_the_surprises_of_a_year_are_told(line: str, told: list[str]) -> None:
    assert warnings(rhythm(line), datetime(2027, 1, 1, tzinfo=UTC)) == told


def test_outside_of_its_time_nothing_surprises() -> None:
    new_year = datetime(2027, 1, 1, tzinfo=UTC)

    assert warnings(rhythm("30 2 * * *", starts_at=datetime(2027, 12, 1, tzinfo=UTC)), new_year) == []
    assert warnings(rhythm("30 2 * * *", ends_at=datetime(2027, 2, 1, tzinfo=UTC)), new_year) == []


def test_an_interval_knows_no_clocks() -> None:
    interval = Rhythm(times=Interval(timedelta(hours=1), BEFORE_GAP))

    assert [shift for _, shift in forecast(interval, BEFORE_GAP, 30)] == [None] * 30
    assert warnings(interval, BEFORE_GAP) == []


def test_after_the_end_there_is_nothing_to_tell() -> None:
    assert forecast(rhythm("@daily", ends_at=BEFORE_GAP), BEFORE_GAP, 5) == []
