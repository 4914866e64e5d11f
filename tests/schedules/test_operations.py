"""Operations on schedules: none of them makes anything fire that is not asked to, and each says who did it, and why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from django_jobqueue import job, schedule
from django_jobqueue.errors import (
    DuplicateRun,
    InvalidSchedule,
    JobQueueError,
    PayloadError,
    ScheduleNotFound,
    UnknownJob,
)
from django_jobqueue.models import Activity, Run, Schedule, Skip
from django_jobqueue.operations.schedule_sync import sync_schedules
from django_jobqueue.operations.schedules import (
    schedule_create,
    schedule_delete,
    schedule_edit,
    schedule_fire_now,
    schedule_get,
    schedule_list,
    schedule_reset,
    schedule_skip_next,
    schedule_toggle,
)
from tests.schedules.conftest import Fired, MakeSchedule, TickAt, at, send

pytestmark = pytest.mark.django_db

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def create(name: str = "letters", **options: Any) -> Schedule:
    given = {"queue": "mail", "job": "send", "actor": "ann", "every_seconds": None if "cron" in options else 3600}
    return schedule_create(name, **(given | options))


def due(schedule: Schedule) -> datetime:
    """When it is due next."""
    assert schedule.next_run_at is not None
    return schedule.next_run_at


# --- Create ----------------------------------------------------------------------------------------------------------


def test_a_new_schedule_waits_for_its_first_due_time() -> None:
    before = timezone.now()
    created = create(payload={"to": "bob"}, reason="He asked for it.", tags=["bob"])

    assert before + HOUR <= due(created) <= timezone.now() + HOUR
    assert (schedule_get("letters"), schedule_get("letters").origin) == (created, "database")
    activity = Activity.objects.get()
    assert (activity.operation, activity.actor, activity.reason) == ("jobs.schedule.create", "ann", "He asked for it.")
    assert (activity.schedule_name, activity.queue, activity.detail["payload"]) == ("letters", "mail", {"to": "bob"})


def test_an_interval_with_a_start_is_due_at_the_start() -> None:
    start = timezone.now() + timedelta(hours=5)

    assert create(starts_at=start).next_run_at == start


def test_a_start_that_is_over_sets_the_grid_of_an_interval() -> None:
    start = timezone.now() - timedelta(minutes=90)

    assert create(starts_at=start).next_run_at == start + timedelta(hours=2)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"cron": "61 * * * *"}, InvalidSchedule, "letters[\"cron\"]: '61' in the field"),
        ({"cron": "0 0 30 2 *"}, InvalidSchedule, "is never due"),
        ({"every_seconds": 0}, InvalidSchedule, "must be a number from 1 to"),
        ({"cron": "@daily", "timezone": "Mars/Base"}, InvalidSchedule, "'Mars/Base' is not a time zone"),
        ({"ends_at": datetime(2026, 1, 1, tzinfo=UTC)}, InvalidSchedule, "it ends before its next due time"),
        ({"cron": "@daily", "every_seconds": 60}, InvalidSchedule, "either cron or every_seconds"),
        ({"name": "0"}, InvalidSchedule, "'0' is not a valid name"),
        ({"name": "x" * 201}, InvalidSchedule, "is not a valid name"),
        ({"name": "a\0b"}, InvalidSchedule, "is not a valid name"),
        ({"job": "sned"}, UnknownJob, "Did you mean 'send'?"),
        ({"queue": "mial"}, JobQueueError, "Did you mean 'mail'?"),
        ({"payload": {"too": 1}}, PayloadError, "Did you mean 'to'?"),
        ({"payload": "os.system"}, InvalidSchedule, "Only code and settings can name a function"),
        ({"payload": dict}, InvalidSchedule, "Only code and settings can name a function"),
        ({"colour": "red"}, InvalidSchedule, "unknown option 'colour'"),
    ],
)
def test_what_is_wrong_is_refused_and_nothing_is_written(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        create(**options)

    assert message in str(caught.value)
    assert not Schedule.objects.exists()
    assert not Activity.objects.exists()


def test_a_name_is_taken_once() -> None:
    create()

    with pytest.raises(InvalidSchedule, match="There is a schedule 'letters' already"):
        create(cron="@daily")

    assert schedule_get("letters").cron is None


def test_a_name_of_code_is_taken_before_any_worker_has_started() -> None:
    job(queue="mail", name="post", schedule=schedule("@daily", name="letters"))(send)

    with pytest.raises(InvalidSchedule, match="is a schedule of code or settings already"):
        create()


def test_another_namespace_has_names_of_its_own(settings: Settings) -> None:
    create()
    settings.JOBQUEUE = {"namespace": "other", "queues": {"mail": {}}}

    create()

    assert [found.namespace for found in schedule_list()] == ["other"]
    assert Schedule.objects.count() == 2


# --- Toggle and edit -------------------------------------------------------------------------------------------------


def test_a_schedule_that_was_disabled_over_its_due_time_waits_for_the_next(
    make_schedule: MakeSchedule, tick: TickAt, fired: Fired
) -> None:
    make_schedule("11:30", cron="0 * * * *")
    tick("12:00")

    assert schedule_toggle("letters", enabled=False, actor="ann", reason="It rains.")
    assert tick("18:00") == (0, None)
    before = timezone.now()
    assert schedule_toggle("letters", enabled=True, actor="bob")

    assert before < due(schedule_get("letters")) <= timezone.now() + HOUR
    assert fired() == ["12:00"]
    assert not Skip.objects.exists()
    off, on = Activity.objects.order_by("pk")
    assert (off.actor, off.reason, off.detail) == ("ann", "It rains.", {"enabled": [True, False]})
    assert (on.actor, on.detail) == ("bob", {"enabled": [False, True]})


def test_toggling_twice_is_toggling_once() -> None:
    create()

    assert not schedule_toggle("letters", enabled=True, actor="ann")
    assert Activity.objects.count() == 1


def test_enabling_by_a_plain_update_fires_nothing(make_schedule: MakeSchedule, tick: TickAt, fired: Fired) -> None:
    make_schedule("11:30", cron="0 * * * *")
    schedule_toggle("letters", enabled=False, actor="ann")

    Schedule.objects.update(enabled=True)
    tick("18:00:30")

    assert fired() == []


def test_an_edit_of_its_times_counts_from_now(make_schedule: MakeSchedule, tick: TickAt, fired: Fired) -> None:
    make_schedule("11:30", cron="0 * * * *")

    before = timezone.now()
    edited = schedule_edit("letters", cron="30 * * * *", actor="ann")

    assert before < due(edited) <= timezone.now() + HOUR
    assert tick("12:00").fired == 0
    assert Activity.objects.get().detail == {"cron": ["0 * * * *", "30 * * * *"]}


def test_an_edit_of_anything_else_leaves_the_due_time(make_schedule: MakeSchedule) -> None:
    made = make_schedule("11:30", cron="0 * * * *")

    edited = schedule_edit("letters", payload={"to": "bob"}, overlap="skip", priority=9, actor="ann")

    assert (edited.next_run_at, edited.payload, edited.priority) == (made.next_run_at, {"to": "bob"}, 9)


def test_an_interval_takes_the_place_of_a_cron_line_and_back() -> None:
    create(cron="@daily", timezone="Europe/Berlin")

    before = timezone.now()
    edited = schedule_edit("letters", every_seconds=60, actor="ann")
    assert (edited.cron, edited.timezone, edited.every_seconds) == (None, None, 60)
    assert before + MINUTE <= due(edited) <= timezone.now() + MINUTE

    edited = schedule_edit("letters", cron="@hourly", actor="ann")
    assert (edited.cron, edited.every_seconds) == ("@hourly", None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cron": "61 * * * *"}, "'61' in the field"),
        ({"payload": {"too": 1}}, "Did you mean 'to'?"),
        ({"max_catch_up": 5}, "not read where misfire is"),
        ({"cron": None}, "either cron or every_seconds"),
        ({"colour": 1}, "unknown option 'colour'"),
    ],
)
def test_a_wrong_edit_changes_nothing(changes: dict[str, Any], message: str) -> None:
    create(cron="@daily")

    with pytest.raises(JobQueueError, match=message):
        schedule_edit("letters", actor="ann", **changes)

    assert schedule_get("letters").cron == "@daily"
    assert Activity.objects.count() == 1


def test_of_a_declared_schedule_only_its_times_can_be_edited() -> None:
    job(queue="mail", name="post", schedule="@daily")(send)
    sync_schedules()

    with pytest.raises(InvalidSchedule, match=r"payload: 'mail\.post' is declared in code, and is changed there"):
        schedule_edit("mail.post", payload={"to": "bob"}, actor="ann")


def test_a_schedule_of_the_database_has_nothing_to_be_reset_to() -> None:
    create()

    with pytest.raises(InvalidSchedule, match="there is no declaration to go back to"):
        schedule_reset("letters", actor="ann")


# --- Skip next, fire now, delete -------------------------------------------------------------------------------------


def test_skipping_the_next_due_time_is_recorded(make_schedule: MakeSchedule, tick: TickAt, fired: Fired) -> None:
    make_schedule("11:30", cron="0 * * * *")

    assert schedule_skip_next("letters", actor="ann", reason="A holiday.") == at("12:00")

    tick("12:00")
    tick("13:00")
    assert fired() == ["13:00"]
    [skip] = Skip.objects.all()
    assert (skip.reason, skip.first_at, skip.number) == ("operator", at("12:00"), 1)
    assert Activity.objects.get().operation == "jobs.schedule.skip_next"


def test_what_was_skipped_stays_so_when_times_are_reckoned_anew() -> None:
    create(cron="@daily", timezone="UTC")
    skipped = schedule_skip_next("letters", actor="ann")

    schedule_toggle("letters", enabled=False, actor="ann")
    schedule_toggle("letters", enabled=True, actor="ann")

    assert schedule_get("letters").next_run_at == skipped + timedelta(days=1)


def test_of_a_disabled_schedule_there_is_nothing_to_skip() -> None:
    create(enabled=False)

    with pytest.raises(InvalidSchedule, match="there is nothing to skip"):
        schedule_skip_next("letters", actor="ann")


def test_firing_now_is_beside_the_due_times(make_schedule: MakeSchedule, tick: TickAt, fired: Fired) -> None:
    made = make_schedule("11:30", cron="0 * * * *", payload={"to": "bob"}, priority=4)

    run = schedule_fire_now("letters", actor="ann", reason="To see it.")

    assert (run.schedule_id, run.fires_at, run.payload, run.priority) == (made.pk, None, {"to": "bob"}, 4)
    assert schedule_get("letters").next_run_at == at("12:00")
    tick("12:00")
    assert Run.objects.filter(fires_at=at("12:00")).exists()
    assert Activity.objects.get(run_id=run.pk).operation == "jobs.schedule.fire_now"


def test_a_disabled_schedule_can_be_fired_now_and_more_than_once() -> None:
    create(enabled=False)

    runs = {schedule_fire_now("letters", actor="ann").pk for _ in range(3)}

    assert len(runs) == 3


def test_of_a_unique_job_a_second_run_is_refused_and_recorded_nowhere() -> None:
    job(queue="mail", name="once", unique="live")(lambda: None)
    create(job="once")
    first = schedule_fire_now("letters", actor="ann")

    with pytest.raises(DuplicateRun, match=rf"'once' of queue 'mail' is unique, and run {first.pk} has the same key"):
        schedule_fire_now("letters", actor="ann")

    assert Run.objects.get().pk == first.pk
    assert Activity.objects.get(operation="jobs.schedule.fire_now").run_id == first.pk


def test_a_schedule_is_deleted_and_its_runs_stay(make_schedule: MakeSchedule, tick: TickAt) -> None:
    make_schedule("5:30", cron="0 * * * *", misfire="skip")
    tick("12:10")
    run = schedule_fire_now("letters", actor="ann")

    schedule_delete("letters", actor="ann")

    assert not Schedule.objects.exists()
    assert not Skip.objects.exists()
    assert Run.objects.get().pk == run.pk
    assert tick("13:00") == (0, None)


def test_a_name_that_is_used_again_is_another_schedule() -> None:
    before = create().pk
    schedule_delete("letters", actor="ann")

    assert create().pk != before


def test_a_declared_schedule_is_not_deleted_but_one_that_is_declared_no_more_is() -> None:
    job(queue="mail", name="post", schedule="@daily")(send)
    sync_schedules()
    with pytest.raises(InvalidSchedule, match=r"'mail\.post' is declared in code\. Remove it there, or disable it"):
        schedule_delete("mail.post", actor="ann")

    Schedule.objects.update(removed_at=timezone.now(), enabled=False)
    with pytest.raises(InvalidSchedule, match="It can only be deleted"):
        schedule_toggle("mail.post", enabled=True, actor="ann")
    schedule_delete("mail.post", actor="ann")

    assert not Schedule.objects.exists()


@pytest.mark.parametrize("name", ["lettres", "", "a\0b", "x" * 10_000])
def test_a_name_that_there_is_not_is_refused_with_the_nearest(name: str) -> None:
    create()

    with pytest.raises(ScheduleNotFound, match="letters"):
        schedule_toggle(name, enabled=False, actor="ann")


def test_schedules_are_listed_by_name() -> None:
    create("b")
    create("a")

    assert [found.name for found in schedule_list()] == ["a", "b"]
