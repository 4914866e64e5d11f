"""Who did what, and why: every operation that somebody answers for records it, in the transaction that does it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeAlias

import pytest
from asgiref.sync import async_to_sync
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from django_jobqueue import operations
from django_jobqueue.errors import InvalidArgument
from django_jobqueue.models import Activity, IdempotencyKey, QueueState, Run, Schedule, Stat
from django_jobqueue.operations import OPERATIONS, RunFilter
from tests.operations.conftest import MakeRun

pytestmark = pytest.mark.django_db

Arguments: TypeAlias = "tuple[list[Any], dict[str, Any]]"
MAIL = RunFilter(queue="mail")


def made(name: str = "nightly") -> Arguments:
    operations.schedule_create(name, queue="mail", job="send", cron="0 3 * * *", actor="bo")
    return [name], {}


def reset(make_run: MakeRun) -> Arguments:
    made()
    Schedule.objects.update(
        origin="code",
        declared={
            "cron": "0 3 * * *", "every_seconds": None, "timezone": None, "starts_at": None, "ends_at": None,
            "enabled": True, "queue": "mail", "job": "send", "payload": {}, "payload_function": None, "priority": None,
            "tags": None, "misfire": "fire_once", "max_catch_up": 100, "overlap": "allow",
        },
    )  # fmt: skip
    operations.schedule_edit("nightly", cron="0 4 * * *", actor="bo")
    return ["nightly"], {}


def paused(make_run: MakeRun) -> Arguments:
    operations.pause_queue("mail", actor="bo")
    return ["mail"], {}


def paused_job(make_run: MakeRun) -> Arguments:
    operations.pause_job("mail", "send", actor="bo")
    return ["mail", "send"], {}


def limited(make_run: MakeRun) -> Arguments:
    operations.set_limit("mail", "concurrent_jobs", 3, actor="bo")
    return ["mail", "concurrent_jobs"], {}


def old_run(make_run: MakeRun) -> Arguments:
    then = timezone.now() - timedelta(days=99)
    make_run("completed", created_at=then, finished_at=then)
    return [], {}


def after(prepared: Callable[[MakeRun], object], *arguments: Any, **options: Any) -> Callable[[MakeRun], Arguments]:
    def arrange(make_run: MakeRun) -> Arguments:
        prepared(make_run)
        return list(arguments), options

    return arrange


RECORDED: dict[str, Callable[[MakeRun], Arguments]] = {
    "jobs.cancel": lambda make_run: ([make_run().pk], {}),
    "jobs.cancel_many": after(lambda make_run: make_run(), MAIL),
    "jobs.replay": lambda make_run: ([make_run("failed").pk], {}),
    "jobs.replay_many": after(lambda make_run: make_run("failed"), MAIL),
    "jobs.reschedule": lambda make_run: ([make_run().pk], {"delay_seconds": 60}),
    "jobs.purge": old_run,
    "queues.pause": lambda _: (["mail"], {}),
    "queues.resume": paused,
    "queues.pause_job": lambda _: (["mail", "send"], {}),
    "queues.resume_job": paused_job,
    "queues.set_limit": lambda _: (["mail", "concurrent_jobs", 3], {}),
    "queues.clear_limit": limited,
    "jobs.schedule.create": lambda _: (["nightly"], {"queue": "mail", "job": "send", "cron": "0 3 * * *"}),
    "jobs.schedule.edit": after(lambda _: made(), "nightly", cron="0 4 * * *"),
    "jobs.schedule.toggle": after(lambda _: made(), "nightly", enabled=False),
    "jobs.schedule.reset": reset,
    "jobs.schedule.delete": lambda _: made(),
    "jobs.schedule.fire_now": lambda _: made(),
    "jobs.schedule.skip_next": lambda _: made(),
}
"""What makes each operation change something: it is given what it then finds, and answers with the arguments."""

RECORDED_AS = {"jobs.schedule.toggle": "jobs.schedule.edit"}
"""Where an operation is a special case of another one."""


def everything() -> list[list[Any]]:
    """All that operations write, but for the record."""
    return [list(model.objects.order_by("pk").values()) for model in (Run, QueueState, Schedule, Stat, IdempotencyKey)]


def test_every_operation_that_knows_its_actor_is_held_to_it_here() -> None:
    steering = {key for key, each in OPERATIONS.items() if "actor" in inspect.signature(each.function).parameters}

    assert steering == set(RECORDED)


@pytest.mark.parametrize("key", RECORDED)
@pytest.mark.parametrize("twin", [False, True], ids=["sync", "async"])
def test_who_did_it_and_why_is_recorded_once(key: str, twin: bool, make_run: MakeRun) -> None:
    arguments, options = RECORDED[key](make_run)
    Activity.objects.all().delete()
    call: Callable[..., Any] = OPERATIONS[key]
    if twin:
        call = async_to_sync(getattr(operations, f"a{OPERATIONS[key].function.__name__}"))

    before = everything()
    call(*arguments, actor="ana", reason="a reason", **options)

    activity = Activity.objects.get()
    assert (activity.operation, activity.actor, activity.reason) == (RECORDED_AS.get(key, key), "ana", "a reason")
    assert everything() != before


@pytest.mark.parametrize("key", RECORDED)
def test_where_it_cannot_be_recorded_nothing_is_done(key: str, make_run: MakeRun) -> None:
    arguments, options = RECORDED[key](make_run)
    before, activities = everything(), Activity.objects.count()

    def refuse(execute: Any, sql: str, *context: Any) -> Any:
        if "jobqueue_activity" in sql and sql.startswith("INSERT"):
            raise IntegrityError("no record")
        return execute(sql, *context)

    with connection.execute_wrapper(refuse), pytest.raises(Exception):  # noqa: B017, PT011 - a name may be said to be taken
        OPERATIONS[key](*arguments, actor="ana", **options)

    assert everything() == before
    assert Activity.objects.count() == activities


@pytest.mark.parametrize("key", RECORDED)
@pytest.mark.parametrize("savepoint", [False, True], ids=["transaction", "savepoint"])
def test_what_is_rolled_back_is_not_recorded(key: str, savepoint: bool, make_run: MakeRun) -> None:
    arguments, options = RECORDED[key](make_run)
    before, activities = everything(), Activity.objects.count()

    def roll_back() -> None:
        with transaction.atomic():
            OPERATIONS[key](*arguments, actor="ana", **options)
            assert Activity.objects.count() == activities + 1
            transaction.set_rollback(True)

    if savepoint:
        with transaction.atomic():
            roll_back()
    else:
        roll_back()

    assert everything() == before
    assert Activity.objects.count() == activities


@pytest.mark.parametrize("key", RECORDED)
@pytest.mark.parametrize("wrong", [{"actor": ""}, {"actor": "ana", "reason": "\0"}], ids=["actor", "reason"])
def test_who_cannot_be_recorded_does_nothing(key: str, wrong: dict[str, str], make_run: MakeRun) -> None:
    arguments, options = RECORDED[key](make_run)
    before, activities = everything(), Activity.objects.count()

    with pytest.raises(InvalidArgument):
        OPERATIONS[key](*arguments, **wrong, **options)

    assert everything() == before
    assert Activity.objects.count() == activities
