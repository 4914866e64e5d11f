"""A tick finds what is due by an index, however many schedules there are, and however many runs they have made."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import Engine, NewRun
from django_jobqueue.models import Run, Schedule
from django_jobqueue.scheduler import Scheduler
from tests.schedules.conftest import at

# On MySQL the index is in the statement; see ``tests/engines/test_mysql.py``.
pytestmark = [pytest.mark.django_db, pytest.mark.postgresql, pytest.mark.sqlite]

EXPLAIN = {"postgresql": "EXPLAIN", "sqlite": "EXPLAIN QUERY PLAN"}

SCHEDULES, RUNS = 1000, 5000


@pytest.fixture
def engine() -> Engine:
    return engine_for("default")


@pytest.fixture
def many() -> list[Schedule]:
    """Many schedules that wait, one that is due, and a long history of one."""
    now = timezone.now()
    schedules = [
        Schedule(name=f"s{n}", queue="mail", job="send", cron="@hourly", next_run_at=now + timedelta(seconds=n - 1))
        for n in range(SCHEDULES)
    ]
    made = Schedule.objects.bulk_create(schedules)
    hours = (now - timedelta(hours=n + 1) for n in range(RUNS))
    engine_for("default").insert(
        "default", [NewRun(queue="mail", job="send", schedule=made[0].pk, fires_at=hour) for hour in hours]
    )
    Run.objects.update(state="completed", reason="returned", finished_at=now)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return made


def test_an_idle_tick_is_a_single_query_by_the_index_of_due_times(many: list[Schedule]) -> None:
    now = many[0].next_run_at
    Schedule.objects.filter(name="s0").delete()

    with CaptureQueriesContext(connection) as queries:
        tick = Scheduler().tick(now)

    assert tick.fired == 0
    assert len(queries) == 1
    idle = Schedule.objects.filter(namespace="default").upcoming().values_list("next_run_at", Now())[:1]
    assert "jobqueue_schedule_due" in idle.explain()
    assert "TEMP B-TREE" not in idle.explain()


def test_what_is_due_is_found_by_indexes(many: list[Schedule], engine: Engine) -> None:
    Schedule.objects.update(overlap="skip")
    now = many[0].next_run_at  # one is due, however long it took to make them all
    assert now is not None
    with CaptureQueriesContext(connection) as queries:
        due = engine.due_schedules("default", now=now, limit=250)
    assert due == [(many[0].pk, False)]

    with connection.cursor() as cursor:
        cursor.execute(f"{EXPLAIN[connection.vendor]} {queries[-1]['sql']}")
        plan = "\n".join(str(row) for row in cursor.fetchall())

    assert "jobqueue_schedule_due" in plan
    assert "jobqueue_run_live_of_schedule" in plan
    assert not re.search(r"SCAN jobqueue_run|Seq Scan", plan)


def test_a_tick_asks_as_much_for_a_hundred_schedules_as_for_one(many: list[Schedule]) -> None:
    def queries(number: int) -> int:
        due = at("12:00") + timedelta(hours=number)
        Schedule.objects.update(next_run_at=due + timedelta(days=1))
        ids = [schedule.pk for schedule in many[:number]]
        Schedule.objects.filter(pk__in=ids).update(next_run_at=due)
        with CaptureQueriesContext(connection) as found:
            assert Scheduler().tick(due).fired == number
        return len(found)

    assert queries(1) == queries(100)
