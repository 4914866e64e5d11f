"""Operations on schedules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from datetime import datetime
from typing import Any, TypedDict, Unpack

from django.db import IntegrityError, transaction

from django_jobqueue.conf import ScheduleOptions, check_name, external_queues, get_config
from django_jobqueue.conf.schedules import parse_options
from django_jobqueue.engines import engine_for
from django_jobqueue.errors import ConfigError, InvalidSchedule, ScheduleNotFound
from django_jobqueue.jobs import declared_schedules
from django_jobqueue.models import Run, Schedule, ScheduleQuerySet
from django_jobqueue.models.fields import as_aware, as_stored
from django_jobqueue.operations.activities import Actor, author, record
from django_jobqueue.operations.at_once import worked_at_once
from django_jobqueue.operations.inserting import insert
from django_jobqueue.operations.new_runs import new_run
from django_jobqueue.operations.operation import Auth, operation
from django_jobqueue.operations.schedule_columns import columns_in, columns_of, write_columns
from django_jobqueue.operations.schedule_runs import run_of
from django_jobqueue.operations.skips import record_skips, skip
from django_jobqueue.rhythm import Span
from django_jobqueue.signals import RunEnqueued
from django_jobqueue.states import Misfire, OnDuplicate, Overlap, SkipReason


class ScheduleArguments(TypedDict, total=False):
    """What can be said of a schedule beside its name and its job; the meanings are those of the schedule options."""

    cron: str | None
    every_seconds: float | None
    timezone: str | None
    starts_at: datetime | str | None
    ends_at: datetime | str | None
    payload: Mapping[str, Any]
    priority: int | None
    tags: list[str] | tuple[str, ...]
    misfire: Misfire | str
    max_catch_up: int
    overlap: Overlap | str
    enabled: bool


OVERRIDABLE = ("cron", "every_seconds", "timezone", "enabled")
"""What an operator may set over the declaration of code or settings."""


@operation("jobs.schedule.create", auth=Auth.ADMIN)
def schedule_create(
    name: str,
    *,
    job: str,
    queue: str = "default",
    actor: Actor,
    reason: str = "",
    **options: Unpack[ScheduleArguments],
) -> Schedule:
    """Make a schedule of the database, which is due next after now.

    Raises InvalidSchedule, UnknownQueue, UnknownJob or PayloadError, and then has written nothing.
    """
    columns, by = _checked(name, queue, job, options), author(actor, reason)
    if name in declared_schedules()[0]:
        raise InvalidSchedule(f"{name!r} is a schedule of code or settings already. Choose another name.")
    config = get_config()
    schedule = Schedule(namespace=config.namespace, name=name)
    write_columns(schedule, columns, now=_now())
    if schedule.enabled and schedule.next_run_at is None:
        raise InvalidSchedule(f"{name!r} would never be due: it ends before its next due time.")
    try:
        with transaction.atomic(using=config.database):
            schedule.save(using=config.database, force_insert=True)
            record(schedule_create.key, by, schedule=schedule, detail=columns)
    except IntegrityError:
        raise InvalidSchedule(f"There is a schedule {name!r} already. Choose another name.") from None
    return schedule


@operation("jobs.schedule.edit", auth=Auth.ADMIN)
def schedule_edit(name: str, *, actor: Actor, reason: str = "", **changes: Unpack[ScheduleArguments]) -> Schedule:
    """Change a schedule, which is due next after now if its times have changed.

    Of one that code or settings declare, only its times and whether it is enabled can be changed. That is kept over
    its declaration until ``schedule_reset``. Raises ScheduleNotFound, InvalidSchedule or PayloadError.
    """
    by = author(actor, reason)
    with _changing(name) as schedule:
        columns = _edited(schedule, changes)
        if schedule.declared is not None:
            schedule.overrides = {key: columns[key] for key in OVERRIDABLE if columns[key] != schedule.declared[key]}
        before = write_columns(schedule, columns, now=_now())
        if before:
            detail = {key: [old, columns[key]] for key, old in before.items()}
            record(schedule_edit.key, by, schedule=schedule, detail=detail)
    return schedule


@operation("jobs.schedule.toggle", auth=Auth.ADMIN)
def schedule_toggle(name: str, *, enabled: bool, actor: Actor, reason: str = "") -> bool:
    """Let a schedule be due, or not any more; answer whether that is new.

    One that is enabled is due next after now: what went by meanwhile is neither made up for nor counted as missed.
    Raises ScheduleNotFound, or InvalidSchedule for one that is declared no more.
    """
    before = schedule_get(name).enabled
    schedule_edit(name, actor=actor, reason=reason, enabled=enabled)
    return before != enabled


@operation("jobs.schedule.reset", auth=Auth.ADMIN)
def schedule_reset(name: str, *, actor: Actor, reason: str = "") -> Schedule:
    """Let a schedule be again as code or settings declare it. Raises ScheduleNotFound or InvalidSchedule."""
    by = author(actor, reason)
    with _changing(name) as schedule:
        if schedule.declared is None:
            raise InvalidSchedule(f"{name!r} is a schedule of the database: there is no declaration to go back to.")
        detail, schedule.overrides = {"overrides": schedule.overrides}, {}
        if write_columns(schedule, schedule.declared, now=_now()):
            record(schedule_reset.key, by, schedule=schedule, detail=detail)
    return schedule


@operation("jobs.schedule.delete", auth=Auth.ADMIN)
def schedule_delete(name: str, *, actor: Actor, reason: str = "") -> None:
    """Delete a schedule. Its runs stay.

    Raises ScheduleNotFound, or InvalidSchedule for one that code or settings declare: it would come back.
    """
    by = author(actor, reason)
    with transaction.atomic(using=get_config().database):
        schedule = _locked(name)
        if schedule.declared is not None and schedule.removed_at is None:
            raise InvalidSchedule(f"{name!r} is declared in {schedule.origin}. Remove it there, or disable it.")
        record(schedule_delete.key, by, schedule=schedule, detail=columns_in(schedule))
        schedule.delete()


@operation("jobs.schedule.fire_now", auth=Auth.ADMIN, emits=[RunEnqueued])
def schedule_fire_now(name: str, *, actor: Actor, reason: str = "") -> Run:
    """Make a run of a schedule at once, whatever its times, its overlap rule, and whether it is enabled.

    The run has no ``fires_at``: it is for no due time. Raises ScheduleNotFound, RunVetoed, DuplicateRun, and what
    ``enqueue`` raises.
    """
    schedule, by = schedule_get(name), author(actor, reason)
    new = run_of(schedule, _now(), declared_schedules()[0])
    with transaction.atomic(using=get_config().database):
        run = insert(new._replace(on_duplicate=OnDuplicate.RAISE))
        record(schedule_fire_now.key, by, schedule=schedule, run=run)
    return worked_at_once(run)


@operation("jobs.schedule.skip_next", auth=Auth.ADMIN)
def schedule_skip_next(name: str, *, actor: Actor, reason: str = "") -> datetime:
    """Let the next due time of a schedule make no run; answer which it is.

    Raises ScheduleNotFound, or InvalidSchedule for one that is not due again.
    """
    by = author(actor, reason)
    with _changing(name) as schedule:
        if schedule.next_run_at is None:
            raise InvalidSchedule(f"{name!r} is not due again: there is nothing to skip.")
        due = as_aware(schedule.next_run_at)
        record_skips([skip(schedule, Span(due, due), SkipReason.OPERATOR)])
        following = schedule.rhythm.next_after(due)
        schedule.next_run_at = as_stored(following) if following else None
        detail = {"due": due.isoformat()}
        record(schedule_skip_next.key, by, schedule=schedule, detail=detail)
    return due


@operation("jobs.schedule.list", auth=Auth.ADMIN)
def schedule_list() -> ScheduleQuerySet:
    """All schedules of this deployment, by name."""
    return _rows().order_by("name")


@operation("jobs.schedule.get", auth=Auth.ADMIN)
def schedule_get(name: str) -> Schedule:
    """The schedule of this name. Raises ScheduleNotFound."""
    found = _rows().filter(name=name).first() if "\0" not in name else None
    if found is None:
        raise ScheduleNotFound(name, _rows().values_list("name", flat=True))
    return found


def draft(schedule: Schedule | None, options: Mapping[str, Any]) -> Schedule:
    """A schedule as it would be with these *options*, new or changed; to be looked at, not to be saved.

    Raises InvalidSchedule, PayloadError, and whatever else the operation would raise.
    """
    if schedule is None:
        shown, columns = Schedule(), columns_of(_parsed("schedule", options), queue="", job="")
    else:
        shown, columns = copy(schedule), _edited(schedule, options)
    write_columns(shown, columns, now=_now())
    return shown


def _rows() -> ScheduleQuerySet:
    config = get_config()
    return Schedule.objects.using(config.database).filter(namespace=config.namespace)


def _locked(name: str) -> Schedule:
    found = _rows().filter(pk=schedule_get(name).pk).locked().first()
    if found is None:  # deleted in between
        raise ScheduleNotFound(name, ())
    return found


@contextmanager
def _changing(name: str) -> Iterator[Schedule]:
    """The schedule, for the body to change, in a transaction that saves it in the end."""
    with transaction.atomic(using=get_config().database):
        schedule = _locked(name)
        yield schedule
        schedule.save()


def _now() -> datetime:
    return as_aware(engine_for(get_config().database).now())


def _checked(name: str, queue: str, job: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a schedule of the database, all of them valid."""
    try:
        check_name("name", name)
    except ConfigError as error:
        raise InvalidSchedule(str(error)) from None
    if queue in external_queues():
        raise InvalidSchedule(f"queue: {queue!r} is external. Make the schedule where it is worked.")
    options = _parsed(name, given)
    _check_run(queue, job, options)
    return columns_of(options, queue=queue, job=job)


def _parsed(name: str, given: Mapping[str, Any]) -> ScheduleOptions:
    try:
        return parse_options(name, given)
    except ConfigError as error:
        raise InvalidSchedule(str(error)) from None


def _edited(schedule: Schedule, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a schedule after *changes*, all of them valid."""
    if schedule.removed_at is not None:
        raise InvalidSchedule(f"{schedule.name!r} is declared in {schedule.origin} no more. It can only be deleted.")
    if schedule.declared is not None and (others := sorted(changes.keys() - set(OVERRIDABLE))):
        raise InvalidSchedule(
            f"{others[0]}: {schedule.name!r} is declared in {schedule.origin}, and is changed there. Here one can set "
            f"{', '.join(OVERRIDABLE)}."
        )
    options = _parsed(schedule.name, _given(columns_in(schedule), changes))
    if changes.keys() & {"payload", "priority", "tags"}:
        _check_run(schedule.queue, schedule.job, options)
    return columns_of(options, queue=schedule.queue, job=schedule.job, payload_function=schedule.payload_function)


def _given(columns: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that say what *columns* are after *changes*: one kind of times takes the place of the other."""
    given = {name: columns[name] for name in ScheduleArguments.__annotations__} | dict(changes)
    if changes.get("every_seconds") is not None and changes.get("cron") is None:
        given |= {"cron": None, "timezone": changes.get("timezone")}
    if changes.get("cron") is not None and "every_seconds" not in changes:
        given["every_seconds"] = None
    if given["misfire"] != Misfire.CATCH_UP and "max_catch_up" not in changes:
        del given["max_catch_up"]
    return given | {"tags": given["tags"] or ()}


def _check_run(queue: str, job: str, options: ScheduleOptions) -> None:
    """Raise what ``enqueue`` would for a run of the schedule."""
    if not isinstance(options.payload, Mapping):
        raise InvalidSchedule("payload: must be a mapping. Only code and settings can name a function that makes it.")
    new_run(queue, job, options.payload, priority=options.priority, tags=options.tags)
