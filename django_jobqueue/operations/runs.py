"""Adding runs, and looking them up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Unpack

from django.db import transaction

from django_jobqueue.engines.base import Inserted, NewRun
from django_jobqueue.errors import AlreadyAdded, RunNotFound
from django_jobqueue.models import Run
from django_jobqueue.operations.at_once import work_at_once, worked_at_once
from django_jobqueue.operations.inserting import TransactionHint, insert, insert_many
from django_jobqueue.operations.new_runs import AddOptions, new_run, new_runs
from django_jobqueue.operations.operation import Auth, operation
from django_jobqueue.operations.queues import known_queue
from django_jobqueue.operations.selection import run_by_id
from django_jobqueue.operations.uniqueness import Existing
from django_jobqueue.payloads import Payload
from django_jobqueue.signals import RunCancelled, RunEnqueued

CHUNK = 1000
"""Runs that one statement inserts."""


@operation("jobs.enqueue", auth=Auth.USER, emits=[RunEnqueued, RunCancelled])
def enqueue(queue: str, job: str, payload: Payload | None = None, **options: Unpack[AddOptions]) -> Run | None:
    """Add one run, in the caller's transaction, and return it; None, if the job's ``on_before_add`` does not let it be.

    Raises UnknownQueue, UnknownJob, PayloadError, InvalidRun, DuplicateRun, IdempotencyConflict or KeyContested, and then
    has written nothing.
    """
    new = new_run(queue, job, payload, **options)
    if new is None:
        return None
    with TransactionHint():
        run = insert(new)
    return worked_at_once(run)


@operation("jobs.enqueue_many", auth=Auth.USER, emits=[RunEnqueued, RunCancelled])
def enqueue_many(queue: str, items: Iterable[Mapping[str, Any]]) -> list[int | None]:
    """Add a run for each item, a mapping of the arguments of ``enqueue``; all of them or none.

    Returns the ids in the order of the items, None where ``enqueue`` does. Raises UnknownQueue before it asks for an item,
    and what ``enqueue`` raises, naming the index of the item.
    """
    config = known_queue(queue)
    waiting = new_runs(queue, items)
    ids: list[int | None] = []
    added: list[int] = []
    with TransactionHint(), transaction.atomic(using=config.database):
        while chunk := list(islice(waiting, CHUNK)):
            rows = _inserted(chunk, first=len(ids))
            ids += [None if row is None else row.id for row in rows]
            added += [row.id for row in rows if isinstance(row, Inserted)]
    work_at_once(added)
    return ids


@operation("jobs.get", auth=Auth.USER)
def get(run_id: int | str) -> Run:
    """The run of this id. Raises RunNotFound, whatever is given."""
    run = run_by_id(run_id).first()
    if run is None:
        raise RunNotFound(run_id)
    return run


def _inserted(chunk: Sequence[NewRun | None], *, first: int) -> list[Inserted | Existing | None]:
    """Insert a chunk of a batch, and answer in its order; an error names the index of the item."""
    places = [place for place, new in enumerate(chunk) if new is not None]
    try:
        rows = insert_many([new for new in chunk if new is not None])
    except AlreadyAdded as error:
        error.args = (f"item {first + places[error.position]}: {error}",)
        raise
    answers = dict(zip(places, rows, strict=True))
    return [answers.get(place) for place in range(len(chunk))]
