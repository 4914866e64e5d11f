"""Operations on runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any, Unpack

from django.db import transaction

from django_jobqueue.conf import get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import NewRun
from django_jobqueue.errors import RunNotEnded, RunNotFound, RunVetoed
from django_jobqueue.models import Run, RunQuerySet
from django_jobqueue.operations.activities import record
from django_jobqueue.operations.announcements import announce_cancelled, announce_enqueued
from django_jobqueue.operations.new_runs import AddOptions, new_run, new_runs
from django_jobqueue.payloads import MAX_INTEGER, Payload
from django_jobqueue.states import FINAL_STATES

CHUNK = 1000
"""Runs that one statement inserts."""


def enqueue(queue: str, job: str, payload: Payload | None = None, **options: Unpack[AddOptions]) -> Run | None:
    """Add one run, in the caller's transaction, and return it; None, if the job's ``on_before_add`` does not let it be.

    Raises UnknownQueue, UnknownJob, PayloadError or InvalidRun before anything is written.
    """
    new = new_run(queue, job, payload, **options)
    return None if new is None else _insert(new)


def enqueue_many(queue: str, items: Iterable[Mapping[str, Any]]) -> list[int | None]:
    """Add a run for each item, a mapping of the arguments of ``enqueue``; all of them or none.

    Returns the ids in the order of the items, None where ``enqueue`` does. Raises what ``enqueue`` raises, naming the
    index of the item.
    """
    config = get_config()
    engine = engine_for(config.database)
    waiting = new_runs(queue, items)
    ids: list[int | None] = []
    with transaction.atomic(using=config.database):
        while chunk := list(islice(waiting, CHUNK)):
            news = [new for new in chunk if new is not None]
            inserted = engine.insert(config.namespace, news)
            announce_enqueued(news, inserted)
            rows = iter(inserted)
            ids += [None if new is None else next(rows).id for new in chunk]
    return ids


def get(run_id: int | str) -> Run:
    """The run of this id. Raises RunNotFound, whatever is given."""
    run = _runs(run_id).first()
    if run is None:
        raise RunNotFound(run_id)
    return run


def cancel(run_id: int | str, *, actor: str, reason: str = "") -> bool:
    """Cancel a run: at once while it is pending; while it runs, it is asked to, and will not be tried again.

    Answers whether that changed anything: cancelling twice, or what has ended, does not. Raises RunNotFound.
    """
    runs = _runs(run_id)
    with transaction.atomic(using=get_config().database):
        cancelled = runs.cancel_pending()
        changed = bool(cancelled or runs.request_cancel())
        if changed:
            run = get(run_id)
            record("jobs.cancel", actor=actor, reason=reason, run=run)
            if cancelled:
                announce_cancelled([run])
    if not changed:
        get(run_id)
    return changed


def replay(run_id: int | str, *, actor: str, reason: str = "") -> Run:
    """Run the payload of an ended run again, as a new run, by the job as it is now.

    Raises RunNotFound, RunNotEnded, RunVetoed, and what ``enqueue`` raises.
    """
    old = get(run_id)
    if old.state not in FINAL_STATES:
        raise RunNotEnded(old.pk, old.state)
    new = new_run(old.queue, old.job, old.payload, priority=old.priority, max_attempts=old.max_attempts)
    if new is None:
        raise RunVetoed(old.queue, old.job)
    with transaction.atomic(using=get_config().database):
        run = _insert(replace(new, replay_of=old.pk))
        record("jobs.replay", actor=actor, reason=reason, run=run)
    return run


def _runs(run_id: int | str) -> RunQuerySet:
    """The run of this id, as a QuerySet; empty for anything that is no id."""
    config = get_config()
    runs = Run.objects.using(config.database).filter(namespace=config.namespace)
    text = str(run_id)
    if not (text.isascii() and text.isdigit() and int(text) <= MAX_INTEGER):
        return runs.none()
    return runs.filter(pk=int(text))


def _insert(new: NewRun) -> Run:
    config = get_config()
    [inserted] = engine_for(config.database).insert(config.namespace, [new])
    announce_enqueued([new], [inserted])
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
        tags=None if new.tags is None else list(new.tags),
        tenant=new.tenant,
        user=new.user,
        trace_id=new.trace_id,
        metadata=new.metadata,
        replay_of_id=new.replay_of,
    )
    run._state.adding = False
    run._state.db = config.database
    return run
