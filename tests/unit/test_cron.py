"""Cron lines are due when their fields say so, by the clocks of their zone, through every shift of those clocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from hypothesis import example, given
from hypothesis import strategies as st

from django_jobqueue.cron import Cron
from django_jobqueue.errors import InvalidSchedule

pytestmark = pytest.mark.sqlite  # no database is asked

MINUTE = timedelta(minutes=1)

BERLIN, NEW_YORK, LONDON = "Europe/Berlin", "America/New_York", "Europe/London"
LORD_HOWE, CHATHAM = "Australia/Lord_Howe", "Pacific/Chatham"
KATHMANDU, SAO_PAULO, KIRITIMATI = "Asia/Kathmandu", "America/Sao_Paulo", "Pacific/Kiritimati"
APIA, TROLL, ST_JOHNS, CAIRO, CASABLANCA = (
    "Pacific/Apia",
    "Antarctica/Troll",
    "America/St_Johns",
    "Africa/Cairo",
    "Africa/Casablanca",
)

TABLE = [
    # Zones whose clocks stay as they are.
    ("UTC", "* * * * *", "2026-03-29T00:59:30Z", "01:00+00:00 01:01+00:00 01:02+00:00"),
    ("UTC", "30 2 * * *", "2026-03-29T02:30Z", "2026-03-30T02:30+00:00"),
    ("UTC", "0 0 29 2 *", "2096-03-01T00:00Z", "2104-02-29T00:00+00:00"),
    ("UTC", "0 0 31 * *", "2026-01-31T00:00Z", "2026-03-31T00:00+00:00 2026-05-31T00:00+00:00"),
    ("UTC", "0 9,17 * * *", "2026-05-01T09:00Z", "2026-05-01T17:00+00:00 2026-05-02T09:00+00:00"),
    ("UTC", "0 0 13 * fri", "2026-02-07T00:00Z", "2026-02-13T00:00+00:00 2026-02-20T00:00+00:00"),
    ("UTC", "0 0 1 1 mon", "2026-01-27T00:00Z", "2027-01-01T00:00+00:00 2027-01-04T00:00+00:00"),
    ("UTC", "@weekly", "2026-11-22T00:00Z", "2026-11-29T00:00+00:00"),
    ("UTC", "0 12 * * 7", "2026-11-21T00:00Z", "2026-11-22T12:00+00:00 2026-11-29T12:00+00:00"),
    (KATHMANDU, "0 0 * * *", "2026-07-01T18:15Z", "2026-07-03T00:00+05:45"),
    (KATHMANDU, "@hourly", "2026-07-01T18:00Z", "2026-07-02T00:00+05:45 2026-07-02T01:00+05:45"),
    (KIRITIMATI, "0 0 * * mon", "2026-07-05T09:59Z", "2026-07-06T00:00+14:00 2026-07-13T00:00+14:00"),
    # A gap: fixed times are due when the clocks go on, once; the others not at all.
    (BERLIN, "30 2 * * *", "2027-03-27T12:00Z", "2027-03-28T03:00+02:00 2027-03-29T02:30+02:00"),
    (BERLIN, "0 2 * * *", "2027-03-27T12:00Z", "2027-03-28T03:00+02:00 2027-03-29T02:00+02:00"),
    (BERLIN, "0,30 2 * * *", "2027-03-27T12:00Z", "2027-03-28T03:00+02:00 2027-03-29T02:00+02:00"),
    (BERLIN, "0 2,3 * * *", "2027-03-27T12:00Z", "2027-03-28T03:00+02:00 2027-03-29T02:00+02:00"),
    (BERLIN, "30 2,3 * * *", "2027-03-27T12:00Z", "2027-03-28T03:00+02:00 2027-03-28T03:30+02:00"),
    (BERLIN, "30 1-4 * * *", "2027-03-28T00:30Z", "2027-03-28T03:00+02:00 2027-03-28T03:30+02:00"),
    (BERLIN, "30 2 28 3 *", "2027-01-01T00:00Z", "2027-03-28T03:00+02:00 2028-03-28T02:30+02:00"),
    (BERLIN, "*/30 2 * * *", "2027-03-27T12:00Z", "2027-03-29T02:00+02:00 2027-03-29T02:30+02:00"),
    (BERLIN, "30 */2 * * *", "2027-03-27T23:30Z", "2027-03-28T04:30+02:00 2027-03-28T06:30+02:00"),
    (BERLIN, "*/30 * * * *", "2027-03-28T00:30Z", "2027-03-28T03:00+02:00 2027-03-28T03:30+02:00"),
    (BERLIN, "30 * * * *", "2027-03-28T00:00Z", "2027-03-28T01:30+01:00 2027-03-28T03:30+02:00"),
    (NEW_YORK, "30 2 * * *", "2026-03-08T05:00Z", "2026-03-08T03:00-04:00 2026-03-09T02:30-04:00"),
    (NEW_YORK, "*/10 * * * *", "2026-03-08T06:50Z", "2026-03-08T03:00-04:00 2026-03-08T03:10-04:00"),
    (NEW_YORK, "30 2 * * sun", "2026-03-02T00:00Z", "2026-03-08T03:00-04:00 2026-03-15T02:30-04:00"),
    (LONDON, "30 1 * * *", "2026-03-28T12:00Z", "2026-03-29T02:00+01:00 2026-03-30T01:30+01:00"),
    (LORD_HOWE, "15 2 * * *", "2026-10-03T12:00Z", "2026-10-04T02:30+11:00 2026-10-05T02:15+11:00"),
    (LORD_HOWE, "*/30 * * * *", "2026-10-03T15:00Z", "2026-10-04T02:30+11:00 2026-10-04T03:00+11:00"),
    (LORD_HOWE, "15 * * * *", "2026-10-03T14:45Z", "2026-10-04T03:15+11:00 2026-10-04T04:15+11:00"),
    (CHATHAM, "0 3 * * *", "2026-09-26T00:00Z", "2026-09-27T03:45+13:45 2026-09-28T03:00+13:45"),
    (SAO_PAULO, "0 0 * * *", "2018-11-03T12:00Z", "2018-11-04T01:00-02:00 2018-11-05T00:00-02:00"),
    (SAO_PAULO, "30 0 4 11 *", "2018-11-01T00:00Z", "2018-11-04T01:00-02:00"),
    (SAO_PAULO, "0 * * * *", "2018-11-04T02:00Z", "2018-11-04T01:00-02:00 2018-11-04T02:00-02:00"),
    (CAIRO, "0 0 * * fri", "2026-04-20T00:00Z", "2026-04-24T01:00+03:00 2026-05-01T00:00+03:00"),
    (TROLL, "0 1,2 * * *", "2026-03-28T12:00Z", "2026-03-29T03:00+02:00 2026-03-30T01:00+02:00"),
    (ST_JOHNS, "30 0 * * *", "2006-04-01T12:00Z", "2006-04-02T01:01-02:30 2006-04-03T00:30-02:30"),
    (KATHMANDU, "5 0 * * *", "1985-12-31T12:00Z", "1986-01-01T00:15+05:45 1986-01-02T00:05+05:45"),
    (KIRITIMATI, "0 12 * * *", "1994-12-30T22:00Z", "1995-01-01T00:00+14:00 1995-01-01T12:00+14:00"),
    (APIA, "0 9 30 12 *", "2011-12-01T00:00Z", "2011-12-31T00:00+14:00 2012-12-30T09:00+14:00"),
    (APIA, "0 */6 * * *", "2011-12-30T04:00Z", "2011-12-31T00:00+14:00 2011-12-31T06:00+14:00"),
    # A fold: fixed times are due the first time; the others both times.
    (BERLIN, "30 2 * * *", "2027-10-30T12:00Z", "2027-10-31T02:30+02:00 2027-11-01T02:30+01:00"),
    (BERLIN, "30 2 * * *", "2027-10-31T00:45Z", "2027-11-01T02:30+01:00"),
    (BERLIN, "0 1-4 * * *", "2027-10-30T23:00Z", "2027-10-31T02:00+02:00 2027-10-31T03:00+01:00"),
    (BERLIN, "*/30 2 * * *", "2027-10-31T00:15Z", "02:30+02:00 02:00+01:00 02:30+01:00"),
    (BERLIN, "* 2 31 10 *", "2027-10-31T00:59Z", "2027-10-31T02:00+01:00 2027-10-31T02:01+01:00"),
    (BERLIN, "* 2 31 10 *", "2026-12-01T00:00Z", "2027-10-31T02:00+02:00 2027-10-31T02:01+02:00"),
    (BERLIN, "@hourly", "2027-10-30T23:30Z", "02:00+02:00 02:00+01:00 03:00+01:00"),
    (NEW_YORK, "30 1 * * *", "2026-11-01T04:00Z", "2026-11-01T01:30-04:00 2026-11-02T01:30-05:00"),
    (NEW_YORK, "*/10 * * * *", "2026-11-01T05:45Z", "01:50-04:00 01:00-05:00 01:10-05:00"),
    (LONDON, "0 1 * * *", "2026-10-24T12:00Z", "2026-10-25T01:00+01:00 2026-10-26T01:00+00:00"),
    (LORD_HOWE, "45 1 * * *", "2026-04-04T12:00Z", "2026-04-05T01:45+11:00 2026-04-06T01:45+10:30"),
    (LORD_HOWE, "*/30 * * * *", "2026-04-04T14:15Z", "01:30+11:00 01:30+10:30 02:00+10:30"),
    (SAO_PAULO, "30 23 * * *", "2018-02-17T12:00Z", "2018-02-17T23:30-02:00 2018-02-18T23:30-03:00"),
    (SAO_PAULO, "*/20 23 17 2 *", "2018-02-18T01:30Z", "23:40-02:00 23:00-03:00 23:20-03:00"),
    (TROLL, "0 */1 * * *", "2026-10-24T22:30Z", "01:00+02:00 02:00+02:00 01:00+00:00 02:00+00:00"),
    (ST_JOHNS, "0 0 * * *", "2006-10-28T12:00Z", "2006-10-29T00:00-02:30 2006-10-30T00:00-03:30"),
    (ST_JOHNS, "*/30 * * * *", "2006-10-29T02:15Z", "00:00-02:30 23:30-03:30 00:00-03:30"),
    (CASABLANCA, "30 2 * * *", "2026-02-14T12:00Z", "2026-02-15T02:30+01:00 2026-02-16T02:30+00:00"),
]


@pytest.mark.parametrize(("zone", "line", "after", "expected"), TABLE)
def test_table(zone: str, line: str, after: str, expected: str) -> None:
    due = islice(Cron.parse(line).due_after(datetime.fromisoformat(after), ZoneInfo(zone)), len(expected.split()))

    shown = [moment.astimezone(ZoneInfo(zone)).isoformat(timespec="minutes") for moment in due]

    assert [text[-len(wanted) :] for text, wanted in zip(shown, expected.split(), strict=True)] == expected.split()


SHIFTS = [
    (BERLIN, "2027-03-28"),
    (BERLIN, "2027-10-31"),
    (NEW_YORK, "2026-03-08"),
    (NEW_YORK, "2026-11-01"),
    (LORD_HOWE, "2026-04-04"),
    (LORD_HOWE, "2026-10-03"),
    (CHATHAM, "2026-04-04"),
    (SAO_PAULO, "2018-02-18"),
    (SAO_PAULO, "2018-11-04"),
    (CAIRO, "2026-10-29"),
    (TROLL, "2026-10-25"),
    (ST_JOHNS, "2006-04-02"),
    (ST_JOHNS, "2006-10-29"),
    (KATHMANDU, "1985-12-31"),
    (APIA, "2011-12-30"),
    ("UTC", "2026-03-29"),
]
MINUTES = st.sampled_from(["*", "0", "15", "0,30", "*/20", "*/7", "59", "1-3", "0-58/29"])
HOURS = st.sampled_from(["*", "0", "1", "2", "0,2", "1-3", "*/2", "22-23", "23", "0-23/3", "3"])
DAYS = st.sampled_from(["* * *", "* * sun", "28-31 * *", "1 * sat", "* 2-11 *", "4 11 *"])
LINES = st.builds(" ".join, st.tuples(MINUTES, HOURS, DAYS))


@given(st.sampled_from(SHIFTS), LINES)
@example((TROLL, "2026-10-25"), "0 * * * *")
def test_it_is_due_at_the_very_minutes_that_a_look_at_the_clock_finds(shift: tuple[str, str], line: str) -> None:
    """The rule of the module, said once more: minute by minute, with nothing clever."""
    zone = ZoneInfo(shift[0])
    start = datetime.fromisoformat(shift[1]).replace(tzinfo=UTC) - timedelta(hours=18)
    moments = [start + number * MINUTE for number in range(60 * 60)]
    clocks = {moment: moment.astimezone(zone).replace(tzinfo=None) for moment in moments}
    if follows_real_time(line):
        expected = [moment for moment, clock in clocks.items() if matches(line, clock)]
    else:
        expected, latest = [], clocks[start]
        for moment, clock in list(clocks.items())[1:]:
            # The clock goes on past times that it never showed before; some of them may be those of the line.
            passed = [latest + (number + 1) * MINUTE for number in range(int((clock - latest) / MINUTE))]
            if any(matches(line, time) for time in passed):
                expected.append(moment)
            latest = max(latest, clock)
    expected = [moment for moment in expected if moment > start]

    due = list(until(moments[-1], Cron.parse(line).due_after(start, zone)))

    assert due == expected


@given(st.sampled_from(SHIFTS), LINES, st.integers(0, 2 * 86400))
def test_asking_from_anywhere_tells_the_same_times(shift: tuple[str, str], line: str, seconds: int) -> None:
    zone, cron = ZoneInfo(shift[0]), Cron.parse(line)
    start = datetime.fromisoformat(shift[1]).replace(tzinfo=UTC) - timedelta(days=1)
    somewhere = start + timedelta(seconds=seconds)

    due = cron.next_after(somewhere, zone)

    assert due > somewhere
    assert due in list(until(due, cron.due_after(start, zone)))
    assert not [before for before in until(due - MINUTE, cron.due_after(start, zone)) if before > somewhere]


@pytest.mark.parametrize("zone", [APIA, BERLIN, ST_JOHNS])
@pytest.mark.parametrize("line", ["0 9 * * *", "*/7 * * * *", "30 2 * * *"])
def test_the_zone_of_the_moment_does_not_matter(zone: str, line: str) -> None:
    for hour in range(48):
        moment = datetime(2027, 3, 27, tzinfo=UTC) + timedelta(hours=hour)

        due = Cron.parse(line).next_after(moment.astimezone(ZoneInfo(zone)), ZoneInfo(BERLIN))

        assert due == Cron.parse(line).next_after(moment, ZoneInfo(BERLIN))


def test_after_the_last_year_nothing_is_due() -> None:
    with pytest.raises(OverflowError, match="is not due before the year 9999"):
        Cron.parse("0 0 29 2 *").next_after(datetime(9998, 1, 1, tzinfo=UTC), ZoneInfo("UTC"))


@pytest.mark.parametrize(
    ("line", "same"),
    [
        (" 0  2\t* * * ", "0 2 * * *"),
        ("0 0 * JAN-Mar Mon", "0 0 * 1-3 1"),
        ("0 0 * * 0", "0 0 * * 7"),
        ("0 0 * * 5-7", "0 0 * * fri,sat,sun"),
        ("@midnight", "0 0 * * *"),
        ("@Yearly", "0 0 1 1 *"),
        ("0-59 00 * * *", "* 0 * * *"),
        ("*/1 0-23/1 1-31 * 0-6", "* * * * *"),
    ],
)
def test_spellings_that_mean_the_same(line: str, same: str) -> None:
    meant, said = Cron.parse(same).on, Cron.parse(line).on

    assert replace(said, has_step=meant.has_step) == meant


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "does not have five fields: minute, hour, day of month, month, day of week"),
        ("* * * *", "does not have five fields"),
        ("0 2 * * * *", "For seconds, use every_seconds"),
        ("0 0 2 * * * *", "does not have five fields"),
        ("61 * * * *", "'61' in the field 'minute' is not from 0 to 59"),
        ("0 24 * * *", "'24' in the field 'hour' is not from 0 to 23"),
        ("0 0 0 * *", "'0' in the field 'day of month' is not from 1 to 31"),
        ("0 0 1 13 *", "'13' in the field 'month' is not from 1 to 12, nor one of jan, feb"),
        ("0 0 * * 8", "'8' in the field 'day of week' is not from 0 to 7"),
        ("0 0 * * mit", "'mit' in the field 'day of week'"),
        ("*/0 * * * *", "has a step that is not from 1 to 59"),
        ("*/70 * * * *", "has a step that is not from 1 to 59"),
        ("*/60 * * * *", "has a step that is not from 1 to 59"),
        ("0 1-3/5 * * *", "has a step that is not from 1 to 2"),
        ("5/15 * * * *", "Write 5-59/15"),
        ("0 22-2 * * *", "'22-2' in the field 'hour' runs backwards. Write 22-23,0-2"),
        ("0 0 * * fri-mon", "runs backwards"),
        ("0 0 30 2 *", "is never due: no month that it names has 30 days"),
        ("0 0 31 4,jun *", "is never due: no month that it names has 31 days"),
        ("@reboot", "Known: @annually, @daily"),
        ("@dayly", "Did you mean '@daily'?"),
        ("0 0 l * *", "'l' in the field 'day of month' is not valid"),
        ("0 0 15w * *", "is not valid"),
        ("0 0 * * fri#1", "is not valid"),
        ("0 0 ? * *", "is not valid"),
        ("h h * * *", "is not valid"),
        ("-5 * * * *", "is not valid"),
        ("1- * * * *", "is not valid"),
        ("1,,2 * * * *", "'' in the field 'minute' is not valid"),
        ("1-2-3 * * * *", "is not valid"),
        ("*/5/5 * * * *", "is not valid"),
        ("0x1 * * * *", "is not valid"),
        ("1.5 * * * *", "is not valid"),
        ("0;reboot * * * *", "is not valid"),
        ("0\x00 * * * *", "is not valid"),
        ("٣٠ * * * *", "characters that are not ASCII"),
        ("0\u00a02 * * *", "characters that are not ASCII"),
        ("0,1" * 100, "is longer than 200 characters"),
        (None, "must be text such as '0 2 * * *', got None"),
        (5, "must be text"),
        (b"* * * * *", "must be text"),
    ],
)
def test_what_is_no_cron_line_is_refused(line: object, message: str) -> None:
    with pytest.raises(InvalidSchedule) as caught:
        Cron.parse(line)

    assert message in str(caught.value)


def test_megabytes_are_refused_before_anybody_reads_them() -> None:
    with pytest.raises(InvalidSchedule) as caught:
        Cron.parse("* " * 5_000_000)

    assert len(str(caught.value)) < 200


@given(st.text(max_size=30) | st.from_regex(r"[0-9*/,a-z@ -]{1,20}", fullmatch=True))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        cron = Cron.parse(text)
    except InvalidSchedule:
        return
    assert cron.next_after(datetime(2026, 1, 1, tzinfo=UTC), ZoneInfo("UTC")) < datetime(2035, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "line", "expected"),
    [
        (BERLIN, "30 2 * * *", ["gap 2027-03-28T02:30", "fold 2027-10-31T02:30"]),
        (BERLIN, "0,30 2 * * *", ["gap 2027-03-28T02:00 2027-03-28T02:30", "fold 2027-10-31T02:00 2027-10-31T02:30"]),
        (BERLIN, "30 */2 * * *", ["gap 2027-03-28T02:30", "fold 2027-10-31T02:30"]),
        (BERLIN, "30 2 * * mon", []),
        (BERLIN, "30 4 * * *", []),
        (BERLIN, "*/30 * * * *", []),
        (BERLIN, "15 * * * *", []),
        (LORD_HOWE, "*/30 * * * *", []),
        (LORD_HOWE, "15 * * * *", ["gap 2027-10-03T02:15"]),
        (LORD_HOWE, "45 * * * *", ["fold 2027-04-04T01:45"]),
        (KATHMANDU, "30 2 * * *", []),
    ],
)
def test_surprises_are_the_shifts_that_touch_its_times(zone: str, line: str, expected: list[str]) -> None:
    start, end = datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)

    found = Cron.parse(line).surprises(start, end, ZoneInfo(zone))

    shown = [" ".join([kind, *(time.isoformat(timespec="minutes") for time in times)]) for _, kind, times in found]
    assert shown == expected


def test_a_surprise_tells_when_the_clocks_are_shifted() -> None:
    start, end = datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 6, 1, tzinfo=UTC)

    [gap] = Cron.parse("30 2 * * *").surprises(start, end, ZoneInfo(BERLIN))

    assert gap.at == datetime(2027, 3, 28, 1, tzinfo=UTC)


def test_a_shift_at_the_start_is_over_and_one_at_the_end_is_told() -> None:
    cron, zone = Cron.parse("30 2 * * *"), ZoneInfo(BERLIN)
    gap, fold = datetime(2027, 3, 28, 1, tzinfo=UTC), datetime(2027, 10, 31, 1, tzinfo=UTC)
    second = timedelta(seconds=1)

    def told(start: datetime, end: datetime) -> list[datetime]:
        return [surprise.at for surprise in cron.surprises(start, end, zone)]

    assert told(gap, fold) == [fold]
    assert told(gap - second, fold - second) == [gap]


def until(end: datetime, moments: Iterator[datetime]) -> Iterator[datetime]:
    for moment in moments:
        if moment > end:
            return
        yield moment


def follows_real_time(line: str) -> bool:
    minute, hour = line.split()[:2]
    return "*" in minute + hour or "/" in minute + hour


def matches(line: str, time: datetime) -> bool:
    """Whether *time* is one of the line, by what croniter reads in it."""
    expanded = expand(line)
    values = [time.minute, time.hour, time.day, time.month, time.isoweekday() % 7]
    fits = [wanted == ["*"] or value in wanted for wanted, value in zip(expanded, values, strict=True)]
    either = expanded[2] != ["*"] and expanded[4] != ["*"]
    return all([fits[0], fits[1], fits[3], any(fits[2::2]) if either else all(fits[2::2])])


@cache
def expand(line: str) -> list[Any]:
    expanded, _ = croniter.expand(line)
    return list(expanded)
