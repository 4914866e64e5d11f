"""Whoever ticks, edits or dies at the same moment: each due time makes one run, or is explained."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection

from django_jobqueue.errors import JobQueueError
from django_jobqueue.models import Run, Schedule, Skip
from django_jobqueue.operations import schedule_delete, schedule_edit, schedule_skip_next, schedule_toggle
from django_jobqueue.scheduler import Scheduler, Tick
from tests.racing import Race, racing
from tests.schedules.conftest import Fired, MakeSchedule, TickAt, at

pytestmark = pytest.mark.django_db(transaction=True)

RUNNERS = 4


@pytest.fixture
def race() -> Iterator[Race]:
    """Call a function in four threads at the same moment, each with its number and its own connection."""
    with racing(RUNNERS) as race:
        yield race


def tick_at(moment: datetime, skew: timedelta, number: int) -> Tick:
    """A tick of the worker of this number, whose clock is late by so many times the skew."""
    return Scheduler().tick(moment - number * skew)


def test_workers_that_tick_at_once_fire_each_due_time_once(make_schedule: MakeSchedule, race: Race) -> None:
    for number in range(30):
        make_schedule("11:59:59", name=f"letters-{number}", every_seconds=1)
    moments = [at("12:00") + timedelta(seconds=second) for second in range(10)]

    for moment in moments:
        ticks = race(partial(tick_at, moment, timedelta()))
        assert sum(tick.fired for tick in ticks) == 30

    for schedule in Schedule.objects.all():
        assert list(schedule.runs.order_by("fires_at").values_list("fires_at", flat=True)) == moments


def test_workers_whose_clocks_differ_fire_each_due_time_once(make_schedule: MakeSchedule, race: Race) -> None:
    schedule = make_schedule("11:59:59", every_seconds=1)

    for tenth in range(100):
        race(partial(tick_at, at("12:00") + timedelta(milliseconds=100 * tenth), timedelta(milliseconds=500)))

    fired = list(schedule.runs.order_by("fires_at").values_list("fires_at", flat=True))
    assert fired == [at("12:00") + timedelta(seconds=second) for second in range(len(fired))]
    assert len(fired) >= 9


def test_an_operator_who_acts_at_the_due_time_meets_either_the_old_or_the_new(
    make_schedule: MakeSchedule, race: Race
) -> None:
    chance = random.Random(7)
    schedule = make_schedule("11:59:59", every_seconds=1)
    acts: list[Callable[[], object]] = [
        lambda: schedule_toggle("letters", enabled=False, actor="ann"),
        lambda: schedule_toggle("letters", enabled=True, actor="ann"),
        lambda: schedule_edit("letters", every_seconds=chance.choice([1, 2, 3]), actor="ann"),
        lambda: schedule_skip_next("letters", actor="ann"),
    ]

    def act(number: int) -> None:
        if number < 2:
            Scheduler().tick()
            return
        with suppress(JobQueueError):  # while it is disabled, there is nothing to skip
            chance.choice(acts)()

    for _ in range(60):
        race(act)

    fired = list(schedule.runs.values_list("fires_at", flat=True))
    assert len(set(fired)) == len(fired)
    skipped = Skip.objects.values_list("first_at", "last_at")
    assert not any(first <= time <= last for first, last in skipped for time in fired if time is not None)


def test_a_schedule_that_is_deleted_while_it_fires_leaves_no_half(make_schedule: MakeSchedule, race: Race) -> None:
    for _ in range(15):
        make_schedule("11:59:59", every_seconds=3600)

        race(lambda number: Scheduler().tick(at("13:00")) if number else schedule_delete("letters", actor="ann"))

        assert not Schedule.objects.exists()
        assert not Skip.objects.exists()


class Died(BaseException):
    """The process is no more."""


def die_before(number: int, act: Callable[[], object]) -> None:
    """Act, but die before the statement of that number."""
    count = 0

    def execute(execute: Callable[..., Any], *arguments: Any) -> Any:
        nonlocal count
        if count == number:
            raise Died
        count += 1
        return execute(*arguments)

    with connection.execute_wrapper(execute):
        act()


def test_a_worker_that_dies_at_any_statement_leaves_everything_or_nothing(
    make_schedule: MakeSchedule, tick: TickAt, fired: Fired
) -> None:
    make_schedule("5:30", name="skips", cron="0 * * * *", misfire="skip")
    make_schedule("5:30", cron="0 * * * *", misfire="catch_up")
    before = table()

    deaths = 0
    while not Run.objects.exists():
        assert table() == before
        assert not Skip.objects.exists()
        with suppress(Died):
            die_before(deaths, lambda: tick("8:10"))
        deaths += 1

    assert deaths >= 5
    everything = table()
    tick("8:10")
    assert table() == everything
    assert fired() == ["06:00", "07:00", "08:00"]
    assert Skip.objects.get().number == 3


def table() -> list[dict[str, Any]]:
    return [dict(row) for row in Schedule.objects.order_by("pk").values()]
