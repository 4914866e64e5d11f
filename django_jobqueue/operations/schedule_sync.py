"""The rows of schedules, brought to what code and settings declare.

A release that starts writes what it declares. What it does not declare, or declares as it was before, stays, as long as a
living worker of another release declares it: so two releases work side by side, and the old one undoes nothing of the
new one, however often it starts.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from django.db import transaction

from django_jobqueue.conf import external_queues, get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.errors import JobQueueError, PayloadError
from django_jobqueue.jobs import DeclaredSchedule, declared_schedules, registry
from django_jobqueue.models import Schedule, ScheduleQuerySet
from django_jobqueue.models.fields import as_aware
from django_jobqueue.operations.activities import Author, record
from django_jobqueue.operations.canonical import digest
from django_jobqueue.operations.new_runs import new_run
from django_jobqueue.operations.schedule_columns import columns_of, reckon, write_columns
from django_jobqueue.operations.workers import live_workers
from django_jobqueue.payloads import encode_json
from django_jobqueue.states import Origin

logger = logging.getLogger(__name__)


SYNC = "jobs.schedule.sync"
"""What a change of a declaration is called in the activities. Nobody asks for it, so it is no operation."""


MOST_REPLACED = 20
"""Declarations of one schedule that are remembered as older ones."""


class Wanted(NamedTuple):
    """What a row shall be."""

    origin: Origin
    columns: dict[str, Any]

    @property
    def hash(self) -> str:
        return digest(self)


def schedule_problems() -> Iterator[str]:
    """What is wrong with the schedules that code and settings declare, in sentences."""
    declared, problems = declared_schedules()
    yield from problems
    for schedule in declared.values():
        try:
            _check(schedule)
        except JobQueueError as error:
            yield f"Schedule {schedule.name!r}: {error}"


def sync_schedules() -> None:
    """Make and change rows until they are as code and settings declare them.

    Any number of processes may do so at once. A schedule that is wrong is left out, and logged.
    """
    wanted = _wanted(declared_schedules()[0])
    now = as_aware(engine_for(get_config().database).now())
    rows = {row.name: row for row in _rows()}
    for name in wanted.keys() & {name for name, row in rows.items() if row.origin == Origin.DATABASE}:
        logger.error("Schedule %r is declared, but there is one of this name in the database. Rename one.", name)
        del wanted[name]
    for name in _outdated(rows, wanted):
        logger.info("Schedule %r stays as a living worker of a newer release declares it.", name)
        del wanted[name]
    missing = sorted(wanted.keys() - rows.keys())
    stale = [row.pk for row in rows.values() if _is_stale(row, wanted.get(row.name), now)]
    if not missing and not stale:
        return
    with transaction.atomic(using=get_config().database):
        _rows().bulk_create([_made(name, wanted[name], now) for name in missing], ignore_conflicts=True)
        for row in _rows().filter(pk__in=stale).order_by("pk").locked():
            if _is_stale(row, wanted.get(row.name), now):
                _renew(row, wanted.get(row.name), now)


def declarations() -> dict[str, str | None]:
    """A hash of each declaration of this release, by the name of the schedule; None for one that is wrong."""
    declared, _ = declared_schedules()
    wanted = _wanted(declared)
    return {name: wanted[name].hash if name in wanted else None for name in declared}


def tend_schedules() -> None:
    """Disable the schedules that neither this release nor that of any living worker declares any more.

    Those of external queues are for others to declare, who may not live all the time.
    One of this release that another has disabled, because it did not see this worker yet, is brought back. And one that a
    newer release has changed goes back to what this one declares, once the newer is gone.
    """
    declared, _ = declared_schedules()
    ours = _rows().exclude(origin=Origin.DATABASE).exclude(queue__in=external_queues())
    known = ours.values_list("name", "removed_at", "replaced")
    removed = {name for name, removed_at, _ in known if removed_at is not None}
    older = {name: replaced for name, _, replaced in known if replaced and name in declared}
    wanted = _wanted({name: declared[name] for name in older})
    if removed & declared.keys() or any(want.hash in older[name] for name, want in wanted.items()):
        sync_schedules()
    if orphans := {name for name, *_ in known} - removed - declared.keys():
        _retire(orphans)


def _retire(names: set[str]) -> None:
    config = get_config()
    now = engine_for(config.database).now()
    names = names.difference(*(worker.schedules for worker in live_workers(now=now)))
    with transaction.atomic(using=config.database):
        for row in _rows().filter(name__in=names, removed_at=None).order_by("pk").locked():
            row.removed_at = now
            write_columns(row, {"enabled": False}, now=as_aware(now))
            row.save()
            record(SYNC, Author(row.origin, "It is declared no more."), schedule=row)
            logger.warning("Schedule %r is disabled: no living worker knows a declaration of it.", row.name)


def _wanted(declared: Mapping[str, DeclaredSchedule]) -> dict[str, Wanted]:
    wanted = {}
    for name, schedule in declared.items():
        try:
            wanted[name] = Wanted(schedule.origin, _columns(schedule))
        except PayloadError as error:
            logger.error("Schedule %r is left as it was: %s", name, error)
    return wanted


def _columns(schedule: DeclaredSchedule) -> dict[str, Any]:
    columns = columns_of(
        schedule.options, queue=schedule.queue, job=schedule.job, payload_function=schedule.payload_path
    )
    return columns | {"payload": json.loads(_payload_text(schedule, columns["payload"]))}


def _payload_text(schedule: DeclaredSchedule, payload: Mapping[str, Any]) -> str:
    if schedule.payload_path is None and (job := registry.find(schedule.queue, schedule.job)) is not None:
        return job.payload_text(payload)
    return encode_json(payload, root="payload", max_bytes=get_config().payload_max_bytes)


def _made(name: str, wanted: Wanted, now: datetime) -> Schedule:
    row = Schedule(namespace=get_config().namespace, name=name, origin=wanted.origin, declared=wanted.columns)
    write_columns(row, wanted.columns, now=now)
    return row


def _outdated(rows: Mapping[str, Schedule], wanted: Mapping[str, Wanted]) -> list[str]:
    """Those of *wanted* that were replaced by what a living worker of another release declares."""
    older = [rows[name] for name, want in wanted.items() if name in rows and want.hash in rows[name].replaced]
    if not older:
        return []
    workers = live_workers(now=engine_for(get_config().database).now())
    return [row.name for row in older if any(worker.schedules.get(row.name) == _hash(row) for worker in workers)]


def _hash(row: Schedule) -> str:
    return Wanted(Origin(row.origin), row.declared or {}).hash


def _is_stale(row: Schedule, wanted: Wanted | None, now: datetime) -> bool:
    return _has_changed(row, wanted) or _is_off(row, now)


def _has_changed(row: Schedule, wanted: Wanted | None) -> bool:
    return wanted is not None and (row.removed_at, row.origin, row.declared) != (None, *wanted)


def _is_off(row: Schedule, now: datetime) -> bool:
    """Whether it waits for a time at which it is not due any more, because the rules of its time zone have changed."""
    if not row.enabled or row.cron is None or row.next_run_at is None or as_aware(row.next_run_at) <= now:
        return False
    after = max(now, as_aware(row.accounted_until)) if row.accounted_until else now
    return row.rhythm.next_after(after) != as_aware(row.next_run_at)


def _renew(row: Schedule, wanted: Wanted | None, now: datetime) -> None:
    if wanted is not None and _has_changed(row, wanted):
        others = [older for older in [*row.replaced, _hash(row)] if older != wanted.hash]
        row.replaced = others[-MOST_REPLACED:]
        row.removed_at, row.origin, row.declared = None, wanted.origin, wanted.columns
        before = write_columns(row, wanted.columns | row.overrides, now=now)
        detail = {name: [old, row.declared[name]] for name, old in before.items()}
        record(SYNC, Author(row.origin, "It is declared anew."), schedule=row, detail=detail)
    if _is_off(row, now):
        logger.warning("Schedule %r is not due at %s: the rules of its time zone have changed.", row, row.next_run_at)
        reckon(row, now=now)
    row.save()


def _check(schedule: DeclaredSchedule) -> None:
    """Raise what the run of a schedule would raise, as far as that can be told before its due time."""
    registry.get(schedule.queue, schedule.job)
    options = schedule.options
    if schedule.payload_function is None and isinstance(options.payload, Mapping):
        new_run(schedule.queue, schedule.job, options.payload, priority=options.priority, tags=options.tags)


def _rows() -> ScheduleQuerySet:
    config = get_config()
    return Schedule.objects.using(config.database).filter(namespace=config.namespace)
