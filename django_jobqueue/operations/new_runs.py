"""What is asked of a new run, checked: from the arguments of ``add()`` to the values that an engine inserts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, TypedDict, Unpack

from django_jobqueue.conf import get_config
from django_jobqueue.engines.base import NewRun
from django_jobqueue.errors import InvalidRun, JobQueueError, nearest, shown
from django_jobqueue.jobs import moments, registry
from django_jobqueue.payloads import encode


class AddOptions(TypedDict, total=False):
    """What ``add()`` takes beside the job and its payload."""

    next_run_at: datetime | str | None
    """A datetime, ISO-8601 text, or "now"; None: now."""
    delay_seconds: float | None
    """Seconds from now; instead of *next_run_at*."""
    priority: int | None
    """From -100 to 100, higher first; None: the job's."""
    max_attempts: int | None
    """Failures after which the run is dead-lettered, from 1 to 1000; None: the job's, as it is when the run fails."""


ITEM_KEYS = {"job", "payload", *AddOptions.__annotations__}


def new_runs(queue: str, items: Iterable[Mapping[Any, Any]]) -> Iterator[NewRun]:
    """``new_run`` of each item, a mapping of its arguments; an error names the index of the item."""
    for index, item in enumerate(items):
        try:
            if not isinstance(item, Mapping):
                raise InvalidRun(f"must be a mapping of the arguments of add(), got {shown(item)}.")
            if unknown := [key for key in item if key not in ITEM_KEYS]:
                raise InvalidRun(f"{shown(unknown[0])} is not an argument. {nearest(unknown[0], ITEM_KEYS)}")
            if "job" not in item:
                raise InvalidRun("'job' is missing.")
            yield new_run(queue, **item)
        except JobQueueError as error:
            error.args = (f"item {index}: {error}",)
            raise


def new_run(queue: str, job: str, payload: Mapping[str, Any] | None = None, **options: Unpack[AddOptions]) -> NewRun:
    """A run of *job*. Raises UnknownQueue, UnknownJob, PayloadError or InvalidRun."""
    if unknown := options.keys() - AddOptions.__annotations__.keys():
        name = min(unknown)
        raise InvalidRun(f"{name!r} is not an argument. {nearest(name, AddOptions.__annotations__)}")
    definition = registry.get(queue, job)
    text = encode(payload, max_bytes=get_config().payload_max_bytes)
    definition.parameters.check(payload or {})
    if options.get("next_run_at") is not None and options.get("delay_seconds") is not None:
        raise InvalidRun("Give next_run_at or delay_seconds, not both.")
    priority = _whole("priority", options.get("priority"), -100, 100)
    return NewRun(
        queue=queue,
        job=definition.name,
        payload=text,
        priority=definition.options.priority if priority is None else priority,
        run_at=moments.moment(options.get("next_run_at"), "next_run_at"),
        delay_seconds=moments.delay(options.get("delay_seconds"), "delay_seconds"),
        max_attempts=_whole("max_attempts", options.get("max_attempts"), 1, 1000),
        delivery=definition.options.delivery,
    )


def _whole(name: str, value: object, least: int, most: int) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidRun(f"{name}: must be a whole number from {least} to {most}, got {shown(value)}.")
    return value
