"""A list of queues and their jobs: for programs and for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, asdict, fields, is_dataclass
from datetime import datetime
from typing import Any

from django_jobqueue.durations import roughly
from django_jobqueue.errors import ConfigError
from django_jobqueue.jobs import registry
from django_jobqueue.jobs.places import place_of
from django_jobqueue.limits import Rate
from django_jobqueue.management.output import Cell
from django_jobqueue.operations import Figures
from django_jobqueue.operations.overview import QueueOverview

COUNTED = ["pending", "scheduled", "running"]
"""What people see of the figures, beside the age of the oldest."""

FIELDS = ["queue", *Figures.__slots__, "workers", "paused", "paused_jobs", "set_limits", "options", "jobs"]
"""What programs get of a queue."""

TITLES = ["queue", *COUNTED, "oldest", "workers", "state"]
JOB_TITLES = ["job", "options"]

NO_OPTIONS = {"name", "jobs", "job_defaults"}
"""What of a queue's configuration is no option of it."""


def records(queues: Sequence[QueueOverview], figures: Mapping[str, Figures], job: str | None) -> list[dict[str, Any]]:
    """For programs: each queue, with its jobs, or only that named *job*."""
    return [
        {
            "queue": queue.config.name,
            **asdict(figures[queue.config.name]),
            "workers": queue.workers,
            "paused": _pause(queue),
            "paused_jobs": queue.paused_jobs,
            "set_limits": [limit._asdict() for limit in queue.set_limits],
            "options": _changed(queue.config),
            "jobs": [{"job": name, **_job(queue.config.name, name)} for name in _names(queue, job)],
        }
        for queue in queues
    ]


def rows(queues: Sequence[QueueOverview], figures: Mapping[str, Figures], *, now: datetime) -> list[list[Cell]]:
    """Under TITLES."""
    return [
        [queue.config.name, *_counts(figures[queue.config.name]), queue.workers, _state(queue, now)] for queue in queues
    ]


def style(queue: QueueOverview) -> str:
    """The colour of Django's palette for its line."""
    if queue.pause is not None or queue.paused_jobs:
        return "WARNING"
    return "" if queue.workers else "NOTICE"


def job_rows(queues: Sequence[QueueOverview], job: str | None) -> Iterator[list[Cell]]:
    """Under JOB_TITLES: each queue too, with the options of its own."""
    for queue in queues:
        yield [queue.config.name, _told(_changed(queue.config))]
        for name in _names(queue, job):
            described = _job(queue.config.name, name)
            yield [f"{queue.config.name}.{name}", described["problem"] or _told(described["options"])]


def _counts(figures: Figures) -> list[Cell]:
    age = figures.oldest_due_age_seconds
    return [*(getattr(figures, word) for word in COUNTED), None if age is None else roughly(age)]


def _names(queue: QueueOverview, job: str | None) -> list[str]:
    return [name for name in queue.jobs if job in {None, name}]


def _state(queue: QueueOverview, now: datetime) -> str:
    state = _standing(queue, now)
    if queue.pause is None and queue.paused_jobs:
        state += f"; paused: {', '.join(queue.paused_jobs)}"
    limits = [f"{job}{'.' if job else ''}{limit}={value}" for job, limit, value, _ in queue.set_limits]
    return f"{state}; set: {', '.join(limits)}" if limits else state


def _standing(queue: QueueOverview, now: datetime) -> str:
    pause = queue.pause
    if pause is None:
        return "working" if queue.workers else "no worker"
    by = f" by {pause.actor}" if pause.actor else ""
    reason = f": {pause.reason}" if pause.reason else ""
    left = f" ({roughly((pause.until - now).total_seconds())} left)" if pause.until else ""
    return f"paused{by}{reason}{left}"


def _pause(queue: QueueOverview) -> dict[str, Any] | None:
    pause = queue.pause
    if pause is None:
        return None
    return {"since": pause.since, "until": pause.until, "actor": pause.actor, "reason": pause.reason}


def _job(queue: str, name: str) -> dict[str, Any]:
    """What it is called, and its options; or why it cannot work."""
    try:
        definition = registry.get(queue, name)
    except ConfigError as error:
        return {"run": None, "options": {}, "problem": " ".join(error.problems)}
    return {"run": place_of(definition.function), "options": _changed(definition.options), "problem": None}


def _changed(options: Any) -> dict[str, Any]:
    """The options that are not as they are by default."""
    given = ((field, getattr(options, field.name)) for field in fields(options) if field.name not in NO_OPTIONS)
    return {field.name: _plain(value) for field, value in given if value != _default(field)}


def _default(field: Field[Any]) -> Any:
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _plain(value: Any) -> Any:
    """The *value* of an option, as JSON can hold it."""
    if isinstance(value, type) or callable(value):
        return place_of(value)
    if isinstance(value, Rate):
        return str(value)  # as it is written in the settings; its burst is an option of its own
    if is_dataclass(value):
        return _changed(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple | frozenset) else value


def _told(options: Mapping[str, Any]) -> str:
    words = {name: value if isinstance(value, str) else json.dumps(value) for name, value in options.items()}
    return " ".join(f"{name}={word}" for name, word in words.items())
