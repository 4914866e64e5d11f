"""Inserting runs that are checked, and the run that comes of it."""

from __future__ import annotations

from collections.abc import Sequence

from django_jobqueue.conf import get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import Inserted, NewRun
from django_jobqueue.models import Run
from django_jobqueue.operations.announcements import announce_enqueued
from django_jobqueue.operations.uniqueness import Existing, in_windows, insert_unique


def insert(new: NewRun) -> Run:
    """Insert a run, in the caller's transaction; answer with it, or with the run that is there in its place.

    Raises DuplicateRun.
    """
    [new] = in_windows([new])
    [row] = insert_many([new])
    return _run(new, row) if isinstance(row, Inserted) else _existing(row.id)


def insert_many(news: Sequence[NewRun]) -> list[Inserted | Existing]:
    """``insert`` many, and answer in their order with what the database decided about each."""
    config = get_config()
    rows: Sequence[Inserted | Existing]
    if any(new.unique_lock is not None for new in news):
        rows = insert_unique(news)
    else:
        rows = engine_for(config.database).insert(config.namespace, news)
    announce_enqueued([(new, row) for new, row in zip(news, rows, strict=True) if isinstance(row, Inserted)])
    return list(rows)


def _run(new: NewRun, row: Inserted) -> Run:
    """The run as the database has it."""
    config = get_config()
    run = Run(
        id=row.id,
        namespace=config.namespace,
        queue=new.queue,
        job=new.job,
        version=new.version,
        payload=new.payload,
        priority=new.priority,
        run_at=row.run_at,
        expires_at=row.expires_at,
        created_at=row.created_at,
        max_attempts=new.max_attempts,
        delivery=new.delivery.value,
        concurrency_key=new.concurrency_key,
        rate_key=new.rate_key,
        unique_key=new.unique_key,
        unique_lock=new.unique_lock,
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


def _existing(run_id: int) -> Run:
    run = Run.objects.using(get_config().database).get(pk=run_id)
    run.added = False
    return run
