"""Rows follow the declarations of code and settings; what an operator has set over them stays."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeAlias

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from django_jobqueue import job, schedule
from django_jobqueue.jobs import JobRegistry, registry
from django_jobqueue.models import Activity, Schedule, Worker
from django_jobqueue.operations.schedule_sync import MOST_REPLACED, declarations, sync_schedules, tend_schedules
from django_jobqueue.operations.schedules import schedule_create, schedule_edit, schedule_reset, schedule_toggle
from tests.schedules.conftest import TickAt, at, send

Release: TypeAlias = Callable[..., None]

pytestmark = pytest.mark.django_db


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> Release:
    """Start a worker of a release, whose code declares the given schedules of ``mail.send``, and no others."""

    def release(**schedules: Any) -> None:
        declare(monkeypatch, **schedules)
        sync_schedules()
        tend_schedules()

    return release


def declare(monkeypatch: pytest.MonkeyPatch, **schedules: Any) -> None:
    monkeypatch.setattr(registry, "__dict__", vars(JobRegistry()))
    several = [
        schedule(**({"cron": given} if isinstance(given, str) else given), name=name)
        for name, given in schedules.items()
    ]
    job(queue="mail", schedule=several)(send)


def row(name: str = "nightly") -> Schedule:
    return Schedule.objects.get(name=name)


def declared(row: Schedule, column: str) -> Any:
    assert row.declared is not None
    return row.declared[column]


def live_worker(*schedules: str, name: str = "old:1:a") -> None:
    """Write the row of a worker that declares *schedules* as they are declared right now."""
    now = timezone.now()
    known = declarations()
    Worker.objects.create(
        name=name,
        queues=["mail"],
        schedules={schedule: known.get(schedule) for schedule in schedules},
        concurrency=1,
        started_at=now,
        heartbeat_at=now,
    )


def test_a_declared_schedule_gets_a_row_that_is_due_in_the_future(release: Release) -> None:
    before = timezone.now()
    release(nightly={"cron": "0 2 * * *", "timezone": "Europe/Berlin", "payload": {"to": "ann"}, "tags": ["night"]})

    found = row()
    assert (found.cron, found.timezone, found.queue, found.job) == ("0 2 * * *", "Europe/Berlin", "mail", "send")
    assert (found.payload, found.tags, found.origin, found.enabled) == ({"to": "ann"}, ["night"], "code", True)
    assert found.next_run_at is not None
    assert before < found.next_run_at <= timezone.now() + timedelta(days=1, hours=1)


def test_starting_again_changes_nothing_and_asks_little(release: Release) -> None:
    release(nightly="0 2 * * *", often={"every_seconds": 60})
    before = list(Schedule.objects.values())

    with CaptureQueriesContext(
        connection,
    ) as queries:
        sync_schedules()

    assert list(Schedule.objects.values()) == before
    assert len(queries) <= 2


def test_what_was_missed_while_nothing_ran_is_not_forgotten_by_starting(release: Release, tick: TickAt) -> None:
    release(nightly="0 2 * * *")
    due = at("2T02:00")
    Schedule.objects.update(next_run_at=due)

    release(nightly="0 2 * * *")

    assert row().next_run_at == due


def test_a_change_of_its_times_counts_from_now(release: Release) -> None:
    release(nightly="0 2 * * *")
    Schedule.objects.update(next_run_at=at("2T02:00"))
    before = timezone.now()

    release(nightly="0 3 * * *")

    found = row()
    assert found.cron == "0 3 * * *"
    assert found.next_run_at is not None
    assert found.next_run_at > before
    assert timezone.localtime(found.next_run_at).hour == 3
    [activity] = Activity.objects.filter(operation="jobs.schedule.sync")
    assert activity.detail == {"cron": ["0 2 * * *", "0 3 * * *"]}


def test_a_change_of_anything_else_leaves_the_due_time(release: Release) -> None:
    release(nightly="0 2 * * *")
    Schedule.objects.update(next_run_at=at("2T02:00"))

    release(nightly={"cron": "0 2 * * *", "payload": {"to": "bob"}, "overlap": "skip"})

    assert (row().payload, row().overlap, row().next_run_at) == ({"to": "bob"}, "skip", at("2T02:00"))


def test_a_schedule_that_is_removed_is_disabled_and_says_so(release: Release) -> None:
    release(nightly="0 2 * * *")

    release()

    found = row()
    assert (found.enabled, found.next_run_at) == (False, None)
    assert found.removed_at is not None
    [activity] = Activity.objects.filter(operation="jobs.schedule.sync")
    assert (activity.schedule_name, activity.actor, activity.reason) == ("nightly", "code", "It is declared no more.")


def test_a_new_name_is_a_new_schedule(release: Release) -> None:
    release(nightly="0 2 * * *")

    release(night="0 2 * * *")

    assert (row("nightly").enabled, row("night").enabled) == (False, True)
    assert row("night").last_run_at is None


def test_one_that_is_declared_again_is_due_next_from_now(release: Release) -> None:
    release(nightly="0 2 * * *")
    release()
    before = timezone.now()

    release(nightly="0 2 * * *")

    found = row()
    assert (found.enabled, found.removed_at) == (True, None)
    assert found.next_run_at is not None
    assert found.next_run_at > before


# --- Overrides -------------------------------------------------------------------------------------------------------


def test_an_override_stays_when_the_release_starts_again(release: Release) -> None:
    release(nightly="0 2 * * *")
    schedule_edit("nightly", cron="0 4 * * *", actor="ann")
    schedule_toggle("nightly", enabled=False, actor="ann")

    release(nightly="0 2 * * *")

    found = row()
    assert (found.cron, found.enabled, found.next_run_at) == ("0 4 * * *", False, None)
    assert found.overrides == {"cron": "0 4 * * *", "enabled": False}
    assert declared(found, "cron") == "0 2 * * *"


def test_an_override_stays_when_the_declaration_changes(release: Release) -> None:
    release(nightly="0 2 * * *")
    schedule_edit("nightly", cron="0 4 * * *", actor="ann")

    release(nightly={"cron": "0 3 * * *", "payload": {"to": "bob"}})

    found = row()
    assert (found.cron, found.payload, declared(found, "cron")) == ("0 4 * * *", {"to": "bob"}, "0 3 * * *")


def test_an_override_outlives_a_removal(release: Release) -> None:
    release(nightly="0 2 * * *")
    schedule_toggle("nightly", enabled=False, actor="ann")
    release()

    release(nightly="0 2 * * *")

    assert (row().enabled, row().removed_at) == (False, None)


def test_a_reset_goes_back_to_the_declaration(release: Release) -> None:
    release(nightly="0 2 * * *")
    schedule_edit("nightly", every_seconds=60, enabled=False, actor="ann")
    release(nightly="0 3 * * *")

    schedule_reset("nightly", actor="ann", reason="The storm is over.")

    found = row()
    assert (found.cron, found.every_seconds, found.enabled, found.overrides) == ("0 3 * * *", None, True, {})
    assert found.next_run_at is not None


def test_an_override_that_says_the_same_is_none(release: Release) -> None:
    release(nightly="0 2 * * *")
    schedule_toggle("nightly", enabled=False, actor="ann")

    schedule_toggle("nightly", enabled=True, actor="ann")

    assert row().overrides == {}


# --- Two releases at once --------------------------------------------------------------------------------------------


def test_what_a_living_worker_of_another_release_declares_is_not_removed(release: Release) -> None:
    release(nightly="0 2 * * *")
    live_worker("nightly")

    release(weekly="@weekly")

    assert (row("nightly").enabled, row("weekly").enabled) == (True, True)
    Worker.objects.all().delete()
    tend_schedules()
    assert (row("nightly").enabled, row("weekly").enabled) == (False, True)


def test_a_straggler_of_the_old_release_does_not_undo_what_the_new_one_adds(release: Release) -> None:
    release(weekly="@weekly", nightly="0 2 * * *")
    live_worker("weekly", "nightly")
    due = row("weekly").next_run_at

    release(nightly="0 2 * * *")  # restarts

    assert (row("weekly").enabled, row("weekly").next_run_at) == (True, due)


def test_an_old_worker_that_starts_again_does_not_undo_what_the_new_release_has_changed(release: Release) -> None:
    release(nightly="0 2 * * *")
    live_worker("nightly")
    release(nightly="0 3 * * *")
    live_worker("nightly", name="new:1:a")
    due = row().next_run_at

    release(nightly="0 2 * * *")  # restarts

    assert (row().cron, declared(row(), "cron"), row().next_run_at) == ("0 3 * * *", "0 3 * * *", due)


def test_nor_does_one_of_the_release_before_that(release: Release) -> None:
    for hour in (1, 2, 3):
        release(nightly=f"0 {hour} * * *")
        live_worker("nightly", name=f"host:{hour}:a")

    release(nightly="0 1 * * *")

    assert row().cron == "0 3 * * *"


def test_a_release_that_is_rolled_back_has_its_way_when_the_newer_one_is_gone(release: Release) -> None:
    release(nightly="0 2 * * *")
    release(nightly="0 3 * * *")
    live_worker("nightly", name="new:1:a")
    release(nightly="0 2 * * *")
    assert row().cron == "0 3 * * *"

    Worker.objects.all().delete()
    tend_schedules()

    assert row().cron == "0 2 * * *"
    release(nightly="0 3 * * *")  # and is brought out again
    assert row().cron == "0 3 * * *"


def test_a_living_worker_that_declares_neither_holds_nothing_up(release: Release) -> None:
    release(nightly="0 2 * * *")
    release(nightly="0 3 * * *")
    live_worker(name="other:1:a")

    release(nightly="0 2 * * *")

    assert row().cron == "0 2 * * *"


def test_of_the_older_declarations_only_the_latest_are_remembered(release: Release) -> None:
    for minute in range(30):
        release(nightly=f"{minute} 2 * * *")

    live_worker("nightly")
    release(nightly=f"{29 - MOST_REPLACED} 2 * * *")
    assert row().cron == "29 2 * * *"
    release(nightly=f"{28 - MOST_REPLACED} 2 * * *")
    assert row().cron == f"{28 - MOST_REPLACED} 2 * * *"


def test_a_worker_tells_how_it_declares_its_schedules(release: Release) -> None:
    release(nightly="0 2 * * *", broken={"cron": "0 2 * * *", "payload": {"to": {1}}})
    before = declarations()
    release(nightly="0 3 * * *")

    assert before["broken"] is None
    assert before["nightly"] is not None
    assert declarations().keys() == {"nightly"}
    assert declarations()["nightly"] != before["nightly"]
    release(nightly="0 2 * * *")
    assert declarations()["nightly"] == before["nightly"]


def test_a_worker_that_died_without_a_word_keeps_nothing_alive(release: Release) -> None:
    release(nightly="0 2 * * *")
    live_worker("nightly")
    Worker.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=5))

    release()

    assert not row().enabled


def test_one_that_was_disabled_before_its_worker_was_seen_comes_back(release: Release) -> None:
    release(nightly="0 2 * * *")
    Schedule.objects.update(removed_at=timezone.now(), enabled=False, next_run_at=None)  # by another release

    tend_schedules()

    assert (row().enabled, row().removed_at) == (True, None)


def test_what_is_in_order_is_tended_by_a_single_query(release: Release) -> None:
    release(nightly="0 2 * * *")

    with CaptureQueriesContext(connection) as queries:
        tend_schedules()

    assert len(queries) == 1


# --- What is wrong ---------------------------------------------------------------------------------------------------


def test_a_schedule_of_the_database_is_not_taken_over(release: Release, caplog: pytest.LogCaptureFixture) -> None:
    schedule_create("nightly", queue="mail", job="send", cron="0 5 * * *", actor="ann")

    release(nightly="0 2 * * *")

    assert (row().cron, row().origin, row().declared) == ("0 5 * * *", "database", None)
    assert "'nightly' is declared, but there is one of this name in the database" in caplog.text


def test_a_payload_that_cannot_be_stored_leaves_the_others_alone(
    release: Release, caplog: pytest.LogCaptureFixture
) -> None:
    release(nightly={"cron": "0 2 * * *", "payload": {"to": {1}}}, weekly="@weekly")

    assert [found.name for found in Schedule.objects.all()] == ["weekly"]
    assert 'payload["to"]: must be text, got set' in caplog.text


def test_a_schedule_whose_queue_is_gone_is_removed(release: Release, settings: Settings) -> None:
    release(nightly="0 2 * * *")
    settings.JOBQUEUE = {"queues": {"post": {}}}

    release()

    assert not row().enabled


def test_new_rules_of_its_time_zone_move_the_due_time(release: Release, caplog: pytest.LogCaptureFixture) -> None:
    in_half_a_year = (timezone.now().month + 5) % 12 + 1
    release(nightly={"cron": f"0 2 1 {in_half_a_year} *", "timezone": "Europe/Berlin"})
    right = row().next_run_at
    assert right is not None
    Schedule.objects.update(next_run_at=right + timedelta(hours=1))  # by the rules of yesterday

    sync_schedules()

    assert row().next_run_at == right
    assert "the rules of its time zone have changed" in caplog.text
