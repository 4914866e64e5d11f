"""What a schedule is due at, and what becomes of due times that were missed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_jobqueue.cron import Cron
from django_jobqueue.rhythm import ClockTimes, Decision, Interval, Rhythm, Span, decide
from django_jobqueue.states import Misfire

pytestmark = pytest.mark.sqlite  # no database is asked

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)

HOURLY = Rhythm(times=ClockTimes(Cron.parse("@hourly"), ZoneInfo("UTC")))


def every(interval: timedelta, **limits: datetime) -> Rhythm:
    return Rhythm(times=Interval(interval, NOON), **limits)


def decided(
    rhythm: Rhythm, due: datetime, now: datetime, misfire: str = "fire_once", max_catch_up: int = 100
) -> Decision:
    return decide(rhythm, due, now, misfire=Misfire(misfire), max_catch_up=max_catch_up)


def test_an_interval_is_due_one_interval_after_it_is_counted_from() -> None:
    assert list(islice(every(HOUR).due_after(NOON - 5 * HOUR), 2)) == [NOON + HOUR, NOON + 2 * HOUR]


def test_an_interval_stays_on_its_grid() -> None:
    assert every(HOUR).next_after(NOON + 3 * HOUR + 7 * MINUTE) == NOON + 4 * HOUR
    assert every(HOUR).next_after(NOON + 3 * HOUR) == NOON + 4 * HOUR
    assert every(HOUR).next_after(NOON + 3 * HOUR - timedelta(microseconds=1)) == NOON + 3 * HOUR


def test_an_interval_counts_real_hours_whatever_clocks_show() -> None:
    before_the_gap = datetime(2027, 3, 28, 0, 30, tzinfo=UTC).astimezone(ZoneInfo("Europe/Berlin"))

    rhythm = Rhythm(times=Interval(12 * HOUR, before_the_gap))

    assert rhythm.next_after(before_the_gap) == datetime(2027, 3, 28, 12, 30, tzinfo=UTC)


def test_nothing_is_due_before_the_start_or_after_the_end() -> None:
    rhythm = Rhythm(times=HOURLY.times, starts_at=NOON, ends_at=NOON + 2 * HOUR)

    assert list(rhythm.due_after(NOON - 10 * HOUR)) == [NOON, NOON + HOUR, NOON + 2 * HOUR]
    assert rhythm.next_after(NOON + 2 * HOUR) is None


@pytest.mark.parametrize("late", [0 * SECOND, 1 * SECOND, 60 * SECOND])
@pytest.mark.parametrize("misfire", list(Misfire))
def test_up_to_a_minute_late_is_on_time(misfire: str, late: timedelta) -> None:
    assert decided(HOURLY, NOON, NOON + late, misfire) == ([Span(NOON, NOON)], None, NOON + HOUR)


def test_later_than_that_it_was_missed() -> None:
    now = NOON + MINUTE + timedelta(microseconds=1)

    assert decided(HOURLY, NOON, now, "fire_once") == ([Span(NOON, NOON, 1)], None, NOON + HOUR)
    assert decided(HOURLY, NOON, now, "skip") == ([], Span(NOON, NOON, 1), NOON + HOUR)
    assert decided(HOURLY, NOON, now, "catch_up") == ([Span(NOON, NOON)], None, NOON + HOUR)


def test_fire_once_makes_one_run_for_the_last_of_all_that_were_missed() -> None:
    due = decided(HOURLY, NOON, NOON + 6 * HOUR + 10 * MINUTE)

    assert due == ([Span(NOON, NOON + 6 * HOUR, 7)], None, NOON + 7 * HOUR)


def test_fire_once_takes_in_what_is_due_on_time_just_now() -> None:
    due = decided(every(SECOND), NOON + SECOND, NOON + 600 * SECOND)

    assert due == ([Span(NOON + SECOND, NOON + 600 * SECOND, 600)], None, NOON + 601 * SECOND)


def test_several_that_are_on_time_each_make_a_run() -> None:
    due = decided(every(10 * SECOND), NOON + 10 * SECOND, NOON + 35 * SECOND)

    assert [span.last_at for span in due.firings] == [NOON + seconds * SECOND for seconds in (10, 20, 30)]
    assert due.next_run_at == NOON + 40 * SECOND


def test_skip_makes_runs_only_for_those_on_time() -> None:
    due = decided(every(30 * SECOND), NOON + 30 * SECOND, NOON + 150 * SECOND, "skip")

    assert due.skipped == Span(NOON + 30 * SECOND, NOON + 60 * SECOND, 2)
    assert [span.last_at for span in due.firings] == [NOON + seconds * SECOND for seconds in (90, 120, 150)]


def test_catch_up_makes_a_run_for_each_oldest_first() -> None:
    due = decided(HOURLY, NOON, NOON + 3 * HOUR + 10 * MINUTE, "catch_up")

    assert due == ([Span(NOON + hours * HOUR, NOON + hours * HOUR) for hours in range(4)], None, NOON + 4 * HOUR)


def test_catch_up_keeps_to_the_latest_where_there_are_too_many() -> None:
    due = decided(HOURLY, NOON, NOON + 9 * HOUR + 10 * MINUTE, "catch_up", max_catch_up=3)

    assert [span.last_at for span in due.firings] == [NOON + hours * HOUR for hours in (7, 8, 9)]
    assert due.skipped == Span(NOON, NOON + 6 * HOUR, 7)


def test_after_the_end_what_was_missed_still_counts() -> None:
    rhythm = Rhythm(times=HOURLY.times, ends_at=NOON + 2 * HOUR)

    assert decided(rhythm, NOON, NOON + 24 * HOUR) == ([Span(NOON, NOON + 2 * HOUR, 3)], None, None)


@pytest.mark.parametrize("limits", [{}, {"ends_at": NOON + 10 * HOUR}])
def test_a_year_of_seconds_is_counted_in_no_time(limits: dict[str, datetime]) -> None:
    number = 10 * 3600 if limits else 366 * 86400

    due = decided(every(SECOND, **limits), NOON + SECOND, NOON + timedelta(days=366))

    assert due.firings[0].number == number


@given(
    interval=st.integers(1, 300),
    late=st.integers(0, 2000),
    ends=st.none() | st.integers(1, 3000),
    misfire=st.sampled_from(Misfire),
    most=st.integers(1, 5),
)
def test_every_due_time_is_accounted_for_once(
    interval: int, late: int, ends: int | None, misfire: Misfire, most: int
) -> None:
    limits = {} if ends is None else {"ends_at": NOON + max(ends, interval) * SECOND}
    rhythm = every(interval * SECOND, **limits)
    due = NOON + interval * SECOND
    now = due + late * SECOND
    times = [due]
    while (following := rhythm.next_after(times[-1])) is not None and following <= now:
        times.append(following)

    decision = decided(rhythm, due, now, misfire, most)

    spans = [*([decision.skipped] if decision.skipped else []), *decision.firings]
    accounted = [time for span in spans for time in times if span.first_at <= time <= span.last_at]
    assert accounted == times
    assert sum(span.number for span in spans) == len(times)
    assert decision.next_run_at == rhythm.next_after(times[-1])
