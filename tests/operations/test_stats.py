"""How many runs are where: exact for those that live, counted once for those that have ended."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.db.models import Sum
from django.utils import timezone

from django_jobqueue import operations, queues
from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import Engine
from django_jobqueue.errors import UnknownQueue
from django_jobqueue.models import Stat
from django_jobqueue.operations.counting import put_together
from django_jobqueue.operations.statistics import Figures
from tests.engines import test_plans as plans
from tests.operations.conftest import AtOnce, MakeRun

pytestmark = pytest.mark.django_db


def stat(outcome: str, count: int, *, queue: str = "mail", hours: float = 0, **columns: Any) -> Stat:
    """A row about a minute so many hours ago."""
    minute = (timezone.now() - timedelta(hours=hours)).replace(second=0, microsecond=0)
    known = {"queue": queue, "job": "send", "minute": minute, "total_seconds": count / 2}
    return Stat.objects.create(outcome=outcome, count=count, **known | columns)


def test_live_runs_are_counted_as_they_stand(make_run: MakeRun) -> None:
    later = timezone.now() + timedelta(hours=1)
    make_run()
    make_run(failures=1, run_at=timezone.now() - timedelta(minutes=5))
    make_run(run_at=later)
    make_run(failures=2, run_at=later)
    make_run("running")
    for state in ("completed", "failed", "dead_lettered", "cancelled"):
        make_run(state)  # as a row only: nobody has counted it
    make_run(namespace="elsewhere")

    figures = queues.mail.stats()

    assert (figures.pending, figures.scheduled, figures.retrying, figures.running) == (4, 2, 2, 1)
    assert (figures.completed, figures.failed, figures.dead_lettered, figures.cancelled) == (0, 0, 0, 0)
    assert figures.oldest_due_age_seconds is not None
    assert 300 <= figures.oldest_due_age_seconds < 360


def test_parked_runs_are_pending_too(make_run: MakeRun) -> None:
    make_run(run_at=timezone.now() - timedelta(minutes=1))
    make_run(blocked_on="key:acme", run_at=timezone.now() - timedelta(minutes=9))
    make_run(queue="reports", job="render", blocked_on="job:render", failures=1)

    mail, reports = queues.mail.stats(), queues.reports.stats()

    assert (mail.pending, mail.parked, mail.retrying) == (2, 1, 0)
    assert (reports.pending, reports.parked, reports.retrying) == (1, 1, 1)
    assert mail.oldest_due_age_seconds is not None
    assert mail.oldest_due_age_seconds >= 540


def test_where_nothing_is_due_nothing_has_an_age(make_run: MakeRun) -> None:
    make_run(run_at=timezone.now() + timedelta(hours=1))

    assert queues.mail.stats() == Figures(pending=1, scheduled=1)
    assert queues.reports.stats() == Figures()


def test_ended_runs_are_those_that_were_counted_also_when_they_are_purged() -> None:
    for outcome, count in [("completed", 7), ("completed", 5), ("failed", 3), ("dead_lettered", 2), ("cancelled", 1)]:
        stat(outcome, count)
    for outcome in ("retried", "snoozed", "crashed", "released", "timed_out"):
        stat(outcome, 100)
    stat("completed", 50, namespace="elsewhere")

    assert queues.mail.stats() == Figures(completed=12, failed=3, dead_lettered=2, cancelled=1)


def test_all_queues_are_told_each_and_together(make_run: MakeRun) -> None:
    make_run(run_at=timezone.now() - timedelta(minutes=1))
    make_run(queue="reports", run_at=timezone.now() - timedelta(minutes=9))
    make_run("running", queue="left_the_settings")
    stat("completed", 3)
    stat("completed", 4, queue="reports")
    stat("completed", 9, queue="gone_long_ago")

    told = operations.stats()

    assert {name: figures.pending for name, figures in told.queues.items()} == {
        "default": 0,
        "mail": 1,
        "reports": 1,
        "left_the_settings": 0,
    }
    assert (told.total.pending, told.total.running, told.total.completed) == (2, 1, 7)
    assert told.total.oldest_due_age_seconds == told.queues["reports"].oldest_due_age_seconds
    assert list(operations.stats("mail").queues) == ["mail"]


def test_a_queue_that_is_none_is_refused() -> None:
    with pytest.raises(UnknownQueue, match=r"'mial' is not a queue\. Did you mean 'mail'\?"):
        operations.stats("mial")


def test_a_pending_run_that_is_cancelled_is_counted_once(make_run: MakeRun) -> None:
    waiting, running = make_run(), make_run("running")

    for run in (waiting, waiting, running):
        operations.cancel(run.pk, actor="ana")

    assert queues.mail.stats() == Figures(running=1, cancelled=1)


# --- Old rows are put together ----------------------------------------------------------------------------------------


def put_all_together() -> None:
    while put_together():
        pass


def rows() -> list[tuple[str, int, int, float]]:
    values = Stat.objects.order_by("minute", "outcome").values_list("outcome", "seconds", "count", "total_seconds")
    return list(values)


def test_the_minutes_of_an_old_hour_become_one_row(make_run: MakeRun) -> None:
    hour = (timezone.now() - timedelta(hours=5)).replace(minute=0, second=0, microsecond=0)
    for minute in (0, 1, 1, 59):
        stat("completed", 10, minute=hour + timedelta(minutes=minute))
    stat("failed", 1, minute=hour)
    recent = stat("completed", 3, hours=1)

    put_all_together()

    assert rows() == [("completed", 3600, 40, 20.0), ("failed", 3600, 1, 0.5), ("completed", 60, 3, 1.5)]
    assert Stat.objects.filter(pk=recent.pk).exists()
    assert set(Stat.objects.filter(seconds=3600).values_list("minute", flat=True)) == {hour}


def test_what_is_told_late_joins_the_row_of_its_hour() -> None:
    hour = (timezone.now() - timedelta(hours=5)).replace(minute=0, second=0, microsecond=0)
    stat("completed", 10, minute=hour)
    put_all_together()
    stat("completed", 5, minute=hour + timedelta(minutes=30))

    put_all_together()

    assert rows() == [("completed", 3600, 15, 7.5)]


def test_the_hours_of_an_old_day_become_one_row() -> None:
    for days in (30, 20):
        for hours in (1, 2, 3):
            day = (timezone.now() - timedelta(days=days)).replace(hour=hours, minute=30, second=0, microsecond=0)
            stat("completed", 10, minute=day)

    put_all_together()

    assert rows() == [("completed", 86400, 30, 15.0)] * 2


@pytest.mark.django_db(transaction=True)
def test_workers_that_put_the_same_together_lose_and_double_nothing(at_once: AtOnce) -> None:
    for hours in range(3, 60):
        for outcome in ("completed", "failed"):
            stat(outcome, hours, hours=hours)
    before = Stat.objects.aggregate(count=Sum("count"), seconds=Sum("total_seconds"))

    at_once(put_all_together)
    put_all_together()

    assert Stat.objects.aggregate(count=Sum("count"), seconds=Sum("total_seconds")) == before
    assert not Stat.objects.filter(seconds=60).exists()


# --- Plans ------------------------------------------------------------------------------------------------------------


OF_LIVE_RUNS = {"Sort", "USE TEMP B-TREE FOR GROUP BY"}
"""What it costs to sort those that an index has found grows with them, not with the table."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "filled", [plans.never_counted, plans.counted_when_new, plans.counted_when_purged, plans.counted_when_full]
)
def test_figures_come_from_indexes(filled: Callable[[Engine], None]) -> None:
    if connection.vendor == "postgresql":
        plans.execute("TRUNCATE jobqueue_run")
    filled(engine_for("default"))

    for queue in (None, "mail"):
        for statement in plans.statements(partial(operations.stats, queue)):
            assert set(plans.slow_parts(statement)) <= OF_LIVE_RUNS
