"""Adding runs, and looking them up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Unpack

from django.db import transaction

from django_jobqueue.conf import get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import Inserted, NewRun
from django_jobqueue.errors import RunNotFound
from django_jobqueue.models import Run
from django_jobqueue.operations.announcements import announce_enqueued
from django_jobqueue.operations.at_once import work_at_once, worked_at_once
from django_jobqueue.operations.new_runs import AddOptions, new_run, new_runs
from django_jobqueue.operations.operation import Auth, operation
from django_jobqueue.operations.selection import run_by_id
from django_jobqueue.payloads import Payload
from django_jobqueue.signals import RunEnqueued

CHUNK = 1000
"""Runs that one statement inserts."""


@operation("jobs.enqueue", auth=Auth.USER, emits=[RunEnqueued])
def enqueue(queue: str, job: str, payload: Payload | None = None, **options: Unpack[AddOptions]) -> Run | None:
    """Add one run, in the caller's transaction, and return it; None, if the job's ``on_before_add`` does not let it be.

    Raises UnknownQueue, UnknownJob, PayloadError or InvalidRun before anything is written.
    """
    new = new_run(queue, job, payload, **options)
    return None if new is None else worked_at_once(insert(new))


@operation("jobs.enqueue_many", auth=Auth.USER, emits=[RunEnqueued])
def enqueue_many(queue: str, items: Iterable[Mapping[str, Any]]) -> list[int | None]:
    """Add a run for each item, a mapping of the arguments of ``enqueue``; all of them or none.

    Returns the ids in the order of the items, None where ``enqueue`` does. Raises what ``enqueue`` raises, naming the
    index of the item.
    """
    waiting = new_runs(queue, items)
    ids: list[int | None] = []
    with transaction.atomic(using=get_config().database):
        while chunk := list(islice(waiting, CHUNK)):
            rows = iter(insert_many([new for new in chunk if new is not None]))
            ids += [None if new is None else next(rows).id for new in chunk]
    work_at_once([run_id for run_id in ids if run_id is not None])
    return ids


def insert_many(new: Sequence[NewRun]) -> list[Inserted]:
    """Add runs that are checked, in the caller's transaction; answer in their order."""
    config = get_config()
    inserted = engine_for(config.database).insert(config.namespace, new)
    announce_enqueued(new, inserted)
    return inserted


@operation("jobs.get", auth=Auth.USER)
def get(run_id: int | str) -> Run:
    """The run of this id. Raises RunNotFound, whatever is given."""
    run = run_by_id(run_id).first()
    if run is None:
        raise RunNotFound(run_id)
    return run


def insert(new: NewRun) -> Run:
    """Insert one run, and return it as the database has it."""
    config = get_config()
    [inserted] = insert_many([new])
    run = Run(
        id=inserted.id,
        namespace=config.namespace,
        queue=new.queue,
        job=new.job,
        version=new.version,
        payload=new.payload,
        priority=new.priority,
        run_at=inserted.run_at,
        expires_at=inserted.expires_at,
        created_at=inserted.created_at,
        max_attempts=new.max_attempts,
        delivery=new.delivery.value,
        concurrency_key=new.concurrency_key,
        rate_key=new.rate_key,
        tags=None if new.tags is None else list(new.tags),
        tenant=new.tenant,
        user=new.user,
        trace_id=new.trace_id,
        metadata=new.metadata,
        replay_of_id=new.replay_of,
        schedule_id=new.schedule,
        fires_at=new.fires_at,
        missed=new.missed,
    )
    run._state.adding = False
    run._state.db = config.database
    return run
