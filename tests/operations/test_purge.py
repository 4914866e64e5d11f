"""What is purged, and what is kept."""

from __future__ import annotations

import random
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from django_jobqueue import operations
from django_jobqueue.engines import engine_for
from django_jobqueue.errors import InvalidArgument, UnknownQueue
from django_jobqueue.models import Activity, Attempt, Run
from django_jobqueue.operations import purging
from django_jobqueue.operations.purging import Purged
from django_jobqueue.states import FINAL_STATES, State
from tests.engines import test_plans as plans
from tests.operations.conftest import AtOnce, MakeRun, row

pytestmark = pytest.mark.django_db

DAY = 86400


def ended(days: float) -> dict[str, Any]:
    """The columns of a run that was added and ended so many days ago."""
    moment = timezone.now() - timedelta(days=days)
    return {"created_at": moment, "run_at": moment, "finished_at": moment}


def kept() -> set[int]:
    return set(Run.objects.values_list("pk", flat=True))


def test_by_default_completed_runs_are_kept_for_a_week_and_all_others_for_a_month(make_run: MakeRun) -> None:
    make_run("completed", **ended(7.1))
    for state in ("failed", "dead_lettered", "cancelled"):
        make_run(state, **ended(30.1))
    young = {make_run("completed", **ended(6.9)).pk}
    young |= {make_run(state, **ended(29.9)).pk for state in ("failed", "dead_lettered", "cancelled")}

    purged = operations.purge(actor="ana")

    assert purged == Purged(completed=1, failed=1, dead_lettered=1, cancelled=1)
    assert kept() == young


@pytest.mark.parametrize("option", ["completed_after_seconds", "failed_after_seconds"])
@pytest.mark.parametrize(
    ("seconds", "days", "purged"), [(0, 0, True), (None, 9999, False), (DAY, 1.1, True), (DAY, 0.9, False)]
)
def test_a_queue_says_how_long_its_runs_are_kept(
    settings: Settings, make_run: MakeRun, option: str, seconds: float | None, days: float, purged: bool
) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {"cleanup": {option: seconds}}, "reports": {}}}
    states = ["completed"] if option == "completed_after_seconds" else ["failed", "dead_lettered", "cancelled"]
    of_queue = {make_run(state, **ended(days)).pk for state in states}
    others = {make_run(state, queue="reports", **ended(min(days, 3))).pk for state in FINAL_STATES}
    others |= {make_run(state, **ended(min(days, 3))).pk for state in FINAL_STATES - {State(state) for state in states}}

    operations.purge(actor="ana")

    assert kept() == (others if purged else others | of_queue)


@pytest.mark.parametrize("state", ["pending", "running"])
def test_live_runs_are_never_purged_however_old(make_run: MakeRun, state: str, settings: Settings) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {"cleanup": {"completed_after_seconds": 0, "failed_after_seconds": 0}}}}
    run = make_run(state, created_at=timezone.now() - timedelta(days=9999))

    operations.purge(actor="ana")

    assert kept() == {run.pk}


def test_other_namespaces_and_queues_that_are_not_ours_are_left_alone(make_run: MakeRun) -> None:
    runs = {
        make_run("completed", namespace="elsewhere", **ended(99)).pk,
        make_run("completed", queue="of_another_service", **ended(99)).pk,
    }

    assert operations.purge(actor="ana") == Purged()
    assert kept() == runs


def test_attempts_go_with_their_run(make_run: MakeRun) -> None:
    old, young = make_run("completed", **ended(99)), make_run("completed", **ended(1))
    now = timezone.now()
    for run in (old, young):
        Attempt.objects.create(run=run, number=1, worker="a", started_at=now, finished_at=now, outcome="completed")

    operations.purge(actor="ana")

    assert list(Attempt.objects.values_list("run_id", flat=True)) == [young.pk]


def test_one_queue_can_be_purged_and_earlier_than_it_says(make_run: MakeRun) -> None:
    mail = [make_run(state, **ended(1)) for state in ("completed", "failed")]
    report = make_run("completed", queue="reports", **ended(1))

    first = operations.purge("mail", actor="ana", completed_after_seconds=0)
    left = kept()
    second = operations.purge("mail", actor="ana", failed_after_seconds=3600)

    assert (first, left) == (Purged(completed=1), {mail[1].pk, report.pk})
    assert (second, kept()) == (Purged(failed=1), {report.pk})


def test_a_dry_run_counts_and_changes_nothing(make_run: MakeRun) -> None:
    runs = {make_run(state, **ended(99)).pk for state in ("completed", "completed", "failed")}

    counted = operations.purge(actor="ana", dry_run=True)

    assert counted == Purged(completed=2, failed=1, dry_run=True)
    assert kept() == runs
    assert not Activity.objects.exists()


def test_who_purged_how_many_is_recorded_once(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purging, "WINDOW", 2)
    for state in ("completed", "completed", "failed", "completed", "cancelled"):
        make_run(state, **ended(99))

    operations.purge("mail", actor="ana", reason="disk is full", completed_after_seconds=60)

    activity = Activity.objects.get()
    assert (activity.operation, activity.actor, activity.reason) == ("jobs.purge", "ana", "disk is full")
    assert (activity.queue, activity.run_id) == ("mail", None)
    assert activity.detail == {"completed_after_seconds": 60, "completed": 3, "failed": 1, "cancelled": 1}


def test_where_nothing_was_purged_nothing_is_recorded(make_run: MakeRun) -> None:
    make_run("completed")

    assert operations.purge(actor="ana") == Purged()

    assert not Activity.objects.exists()


@pytest.mark.parametrize("window", [1, 3, 7, 500])
def test_a_walk_finds_all_of_any_mixture_whatever_its_steps(monkeypatch: pytest.MonkeyPatch, window: int) -> None:
    monkeypatch.setattr(purging, "WINDOW", window)
    chance = random.Random(window)
    runs = [row(chance.choice(["pending", "running", *FINAL_STATES]), **ended_or_not(chance)) for _ in range(60)]
    runs.sort(key=lambda run: run.created_at)  # as their ids are
    for run in runs:
        if run.state not in FINAL_STATES:
            run.finished_at = None
        run.save(force_insert=True)
    limit = {State.COMPLETED: timedelta(days=7)}
    now = timezone.now()
    expected = {
        run.pk
        for run in runs
        if run.finished_at is None or now - run.finished_at < limit.get(State(run.state), timedelta(days=30))
    }

    purged = operations.purge(actor="ana")

    assert kept() == expected
    assert purged.completed + purged.failed + purged.dead_lettered + purged.cancelled == 60 - len(expected)


def ended_or_not(chance: random.Random) -> dict[str, Any]:
    """Of any age; some took long."""
    columns = ended(chance.choice([0, 1, 6, 8, 29, 31, 400]))
    return columns | {"created_at": columns["created_at"] - timedelta(days=chance.choice([0, 0, 50]))}


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        ({"queue": "mial"}, UnknownQueue, "'mial' is not a queue. Did you mean 'mail'?"),
        (
            {"completed_after_seconds": -1},
            InvalidArgument,
            "completed_after_seconds: must be a number of seconds from 0 on",
        ),
        (
            {"failed_after_seconds": "7d"},
            InvalidArgument,
            "failed_after_seconds: must be a number of seconds from 0 on, got '7d'",
        ),
        ({"failed_after_seconds": float("nan")}, InvalidArgument, "failed_after_seconds: must be"),
        ({"failed_after_seconds": True}, InvalidArgument, "failed_after_seconds: must be"),
        ({"actor": ""}, InvalidArgument, "actor: must be"),
    ],
)
def test_what_cannot_be_is_refused_and_purges_nothing(
    make_run: MakeRun, given: dict[str, Any], error: type[Exception], told: str
) -> None:
    run = make_run("completed", **ended(99))

    with pytest.raises(error) as caught:
        operations.purge(**{"actor": "ana"} | given)

    assert told in str(caught.value)
    assert kept() == {run.pk}


@pytest.mark.django_db(transaction=True)
def test_purgers_at_the_same_moment_purge_and_count_each_run_once(
    at_once: AtOnce, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purging, "WINDOW", 20)
    old = [row("completed" if number % 3 else "failed", **ended(99)) for number in range(300)]
    live = [row(state, created_at=timezone.now() - timedelta(days=99)) for state in ("pending", "running") * 10]
    Run.objects.bulk_create(random.Random(1).sample(old + live, k=320))
    alive = set(Run.objects.live().values_list("pk", flat=True))

    done = at_once(partial(operations.purge, actor="ana"))

    assert (sum(each.completed for each in done), sum(each.failed for each in done)) == (200, 100)
    assert kept() == alive
    details = [activity.detail for activity in Activity.objects.all()]
    assert sum(detail.get("completed", 0) + detail.get("failed", 0) for detail in details) == 300
    assert all(sum(detail.values()) for detail in details)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_large_table_is_purged_in_small_batches_by_primary_key() -> None:
    engine = engine_for("default")
    plans.fill(engine, State.PENDING, 500, hours=-2400)
    plans.fill(engine, State.COMPLETED, 30_000, hours=-2400)
    plans.fill(engine, State.RUNNING, 500, hours=-2000)
    plans.fill(engine, State.COMPLETED, 30_000, hours=-2000)
    plans.fill(engine, State.COMPLETED, 10_000, hours=-1)
    walk, sizes = purging.Walk(purging.cleanups_of()), []
    for _ in range(60):
        walk.step()
    for statement in plans.statements(walk.step):
        assert plans.slow_parts(statement) == []

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        answer = execute(sql, params, many, context)
        if "DELETE FROM jobqueue_run" in sql:
            sizes.append(context["cursor"].rowcount)
        return answer

    with connection.execute_wrapper(watch):
        purged = operations.purge(actor="ana")

    assert purged == Purged(completed=60_000)
    assert (Run.objects.live().count(), Run.objects.in_state("completed").count()) == (1000, 10_000)
    assert len(sizes) >= 60_000 / purging.WINDOW
    assert max(sizes) <= purging.WINDOW


def test_a_purger_that_comes_second_to_each_run_records_nothing(make_run: MakeRun) -> None:
    run = make_run("completed", **ended(99))
    first_statement = "SKIP LOCKED" if connection.vendor == "mysql" else "DELETE FROM jobqueue_run"

    def come_first(execute: Any, sql: str, *context: Any) -> Any:
        if first_statement in sql:
            Run.objects.filter(pk=run.pk)._raw_delete("default")
        return execute(sql, *context)

    with connection.execute_wrapper(come_first):
        purged = operations.purge(actor="ana")

    assert purged == Purged()
    assert not Activity.objects.exists()
