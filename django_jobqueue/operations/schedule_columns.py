"""What is declared of a schedule, as JSON-able columns of its row; and when it is due next, once they have changed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django_jobqueue.conf import ScheduleOptions
from django_jobqueue.models import Schedule
from django_jobqueue.models.fields import as_aware, as_stored

TIMING = ("cron", "every_seconds", "timezone", "starts_at", "ends_at", "enabled")
"""The columns on which it depends when a schedule is due."""

COLUMNS = (
    *TIMING,
    "queue",
    "job",
    "payload",
    "payload_function",
    "priority",
    "tags",
    "misfire",
    "max_catch_up",
    "overlap",
)
"""All columns that are declared."""

MOMENTS = ("starts_at", "ends_at")


def columns_of(
    options: ScheduleOptions, *, queue: str, job: str, payload_function: str | None = None
) -> dict[str, Any]:
    """The columns of a schedule with these *options*."""
    columns = {name: getattr(options, name) for name in COLUMNS if hasattr(options, name)}
    return columns | {
        "starts_at": _text(options.starts_at),
        "ends_at": _text(options.ends_at),
        "queue": queue,
        "job": job,
        "payload": options.payload if isinstance(options.payload, Mapping) else {},
        "payload_function": payload_function,
        "tags": list(options.tags) or None,
        "misfire": options.misfire.value,
        "overlap": options.overlap.value,
    }


def columns_in(schedule: Schedule) -> dict[str, Any]:
    """The columns of a row, as they are."""
    columns = {name: getattr(schedule, name) for name in COLUMNS}
    return columns | {name: _text(columns[name]) for name in MOMENTS}


def write_columns(schedule: Schedule, columns: Mapping[str, Any], *, now: datetime) -> dict[str, Any]:
    """Set *columns* of a row, which is not saved; answer with those that have changed, as they were.

    A schedule that is due at other times than before is due next after *now*: no change makes it fire.
    """
    before = columns_in(schedule)
    changed = {name: before[name] for name, value in columns.items() if before[name] != value}
    for name in changed:
        value = columns[name]
        setattr(schedule, name, as_stored(datetime.fromisoformat(value)) if name in MOMENTS and value else value)
    if changed.keys() & {"every_seconds", "starts_at"}:
        schedule.counted_from = _counted_from(schedule, now)
    if changed.keys() & set(TIMING):
        reckon(schedule, now=now)
    return changed


def reckon(schedule: Schedule, *, now: datetime) -> None:
    """Let a schedule be due next after *now*, and after all due times of which it is decided what became of them."""
    accounted_until = schedule.accounted_until
    following = map(as_stored, schedule.rhythm.due_after(now)) if schedule.enabled else iter(())
    schedule.next_run_at = next((due for due in following if accounted_until is None or due > accounted_until), None)


def _counted_from(schedule: Schedule, now: datetime) -> datetime | None:
    if schedule.every_seconds is None:
        return None
    if schedule.starts_at is None:
        return as_stored(now)
    return schedule.starts_at - timedelta(seconds=schedule.every_seconds)


def _text(moment: datetime | None) -> str | None:
    return as_aware(moment).astimezone(UTC).isoformat() if moment else None
