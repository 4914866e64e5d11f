"""A tick tells what it did, after the commit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from django_jobqueue.models import Run
from django_jobqueue.signals import Event, run_enqueued, schedule_triggered, scheduler_ticked
from tests.schedules.conftest import MakeSchedule, TickAt, at

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def told() -> Iterator[list[Event]]:
    told: list[Event] = []

    def hear(event: Event, **_: Any) -> None:
        told.append(event)

    signals = [schedule_triggered, scheduler_ticked, run_enqueued]
    for signal in signals:
        signal.connect(hear)
    yield told
    for signal in signals:
        signal.disconnect(hear)


def test_a_tick_tells_of_its_runs(make_schedule: MakeSchedule, tick: TickAt, told: list[Any]) -> None:
    make_schedule("9:30", cron="0 * * * *")

    tick("12:10")

    run = Run.objects.get()
    assert [event.key for event in told] == ["job.enqueued", "scheduler.job_triggered", "scheduler.tick"]
    assert (told[0].run_id, told[1].run_id) == (run.pk, run.pk)
    assert (told[1].schedule, told[1].queue, told[1].job) == ("letters", "mail", "send")
    assert (told[1].fires_at, told[1].missed) == (at("12:00"), 2)
    assert told[2].fired == 1


def test_an_idle_tick_tells_that_it_was_idle(make_schedule: MakeSchedule, tick: TickAt, told: list[Any]) -> None:
    make_schedule("9:30", cron="0 * * * *")

    tick("9:45")

    assert [(event.key, event.fired) for event in told] == [("scheduler.tick", 0)]
