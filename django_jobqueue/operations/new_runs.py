"""Operations on runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, TypedDict, Unpack

from django.db import transaction

from django_jobqueue.conf import get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import NewRun
from django_jobqueue.errors import InvalidRun, JobQueueError, nearest, shown
from django_jobqueue.jobs import registry
from django_jobqueue.models import Run
from django_jobqueue.operations import moments
from django_jobqueue.payloads import encode

CHUNK = 1000
"""Runs that one statement inserts."""


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


def enqueue(queue: str, job: str, payload: Mapping[str, Any] | None = None, **options: Unpack[AddOptions]) -> Run:
    """Add one run, in the caller's transaction, and return it.

    Raises UnknownQueue, UnknownJob, PayloadError or InvalidRun before anything is written.
    """
    config = get_config()
    new = _new_run(queue, job, payload, **options)
    [inserted] = engine_for(config.database).insert(config.namespace, [new])
    run = Run(
        id=inserted.id,
        namespace=config.namespace,
        queue=queue,
        job=job,
        version=new.version,
        payload=dict(payload or {}),
        priority=new.priority,
        run_at=inserted.run_at,
        created_at=inserted.created_at,
        max_attempts=new.max_attempts,
        delivery=new.delivery.value,
    )
    run._state.adding = False
    run._state.db = config.database
    return run


def enqueue_many(queue: str, items: Iterable[Mapping[str, Any]]) -> list[int]:
    """Add a run for each item, a mapping of the arguments of ``enqueue``; all of them or none.

    Returns the ids in the order of the items. Raises what ``enqueue`` raises, naming the index of the item.
    """
    config = get_config()
    engine = engine_for(config.database)
    new_runs = _new_runs(queue, items)
    ids: list[int] = []
    with transaction.atomic(using=config.database):
        while chunk := list(islice(new_runs, CHUNK)):
            ids += [inserted.id for inserted in engine.insert(config.namespace, chunk)]
    return ids


def _new_runs(queue: str, items: Iterable[Mapping[str, Any]]) -> Iterator[NewRun]:
    for index, item in enumerate(items):
        try:
            if "job" not in item:
                raise InvalidRun("'job' is missing.")
            yield _new_run(queue, **item)
        except JobQueueError as error:
            error.args = (f"item {index}: {error}",)
            raise


def _new_run(queue: str, job: str, payload: Mapping[str, Any] | None = None, **options: Unpack[AddOptions]) -> NewRun:
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
        run_at=moments.run_at(options.get("next_run_at")),
        delay_seconds=moments.delay(options.get("delay_seconds")),
        max_attempts=_whole("max_attempts", options.get("max_attempts"), 1, 1000),
        delivery=definition.options.delivery,
    )


def _whole(name: str, value: object, least: int, most: int) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidRun(f"{name}: must be a whole number from {least} to {most}, got {shown(value)}.")
    return value
