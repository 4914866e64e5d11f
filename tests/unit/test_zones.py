"""Time zones are found by their names only, and their stretches cover all time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest

from django_jobqueue.errors import InvalidSchedule
from django_jobqueue.zones import stretches, zone_named

pytestmark = pytest.mark.sqlite  # no database is asked


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+3"])
def test_a_zone_is_found_by_its_name(name: str) -> None:
    assert zone_named(name) == ZoneInfo(name)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Europe/Berln", "Did you mean 'Europe/Berlin'?"),
        ("europe/berlin", "Did you mean 'Europe/Berlin'?"),
        ("CET ", "Did you mean 'CET'?"),
        ("Mars/Base", "Use a name such as"),
        ("+02:00", "Use a name such as"),
        ("../../etc/passwd", "Use a name such as"),
        ("/etc/localtime", "'/etc/localtime' is not"),
        ("Europe", "'Europe' is not"),
        ("localtime", "'localtime' is not"),
        ("", "Use a name such as"),
        ("x" * 1_000_000, "Use a name such as"),
        ("UTC\0", "Did you mean 'UTC'?"),
        (None, "None is not"),
        (2, "2 is not"),
        ([], "[] is not"),
        ("America/Argentina/ComodRivadavia" + "x" * 40, "Use a name such as"),
    ],
)
def test_any_other_name_is_refused_with_the_nearest(name: object, hint: str) -> None:
    with pytest.raises(InvalidSchedule, match="is not a time zone") as caught:
        zone_named(name)

    assert hint in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "Africa/Casablanca", "Pacific/Apia", "Australia/Lord_Howe"])
def test_stretches_follow_each_other_and_agree_with_the_clock(name: str) -> None:
    zone, moment = ZoneInfo(name), datetime(2009, 7, 1, tzinfo=UTC)

    found = list(islice(stretches(zone, moment), 30))

    assert found[0].start <= moment < found[0].end
    for before, after in pairwise(found):
        assert before.end == after.start
        assert before.offset == after.offset_before
    for stretch in found:
        hours = int((stretch.end - stretch.start) / timedelta(hours=1))
        for moment in (stretch.start + timedelta(hours=hour) for hour in range(hours)):
            assert moment.astimezone(zone).utcoffset() == stretch.offset


def test_a_fixed_offset_is_a_zone_too() -> None:
    [first, second] = islice(stretches(timezone(timedelta(hours=2)), datetime(2026, 5, 1, tzinfo=UTC)), 2)

    assert first.clock_start == datetime(2026, 1, 1, 2)  # noqa: DTZ001  # what clocks show
    assert second.clock_before == second.clock_start
