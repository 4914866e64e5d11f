"""Inserting runs that are checked, and the run that comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from django.db import InterfaceError
from django.db.transaction import TransactionManagementError

from django_jobqueue.conf import get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import Inserted, NewRun
from django_jobqueue.models import Run
from django_jobqueue.operations.announcements import announce_enqueued
from django_jobqueue.operations.idempotency import insert_once
from django_jobqueue.operations.uniqueness import Existing, in_windows, insert_unique
from django_jobqueue.transports.publisher import publish_on_commit

SOON = timedelta(seconds=2)
"""Whatever is due later, workers find in time by themselves."""

BLANK = {field.attname: field.get_default() for field in Run._meta.concrete_fields}
"""The columns of a run of which nothing is said, in their order: so a run is made without asking each field again."""


class TransactionHint:
    """Lets the error of a transaction that had failed before tell what that means for the run."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, TransactionManagementError | InterfaceError):
            error.add_note(
                "No run was added: the transaction in which it was to be added had failed before. "
                "Let that failure leave its atomic() block; or, to go on after it, give it an atomic() block of its own."
            )


def insert(new: NewRun) -> Run:
    """Insert a run, in the caller's transaction; answer with it, or with the run that is there in its place.

    Raises DuplicateRun, IdempotencyConflict or KeyContested.
    """
    [new] = in_windows([new])
    [row] = insert_many([new])
    return _run(new, row) if isinstance(row, Inserted) else _existing(new, row.id)


def insert_many(news: Sequence[NewRun]) -> list[Inserted | Existing]:
    """``insert`` many, and answer in their order with what the database decided about each."""
    keyed = any(new.idempotency_key is not None for new in news)
    rows = insert_once(news, _insert_rows) if keyed else _insert_rows(news)
    inserted = [(new, row) for new, row in zip(news, rows, strict=True) if isinstance(row, Inserted)]
    announce_enqueued(inserted)
    if soon := {new.queue for new, row in inserted if row.run_at - row.created_at <= SOON}:
        publish_on_commit(soon)
    return rows


def _insert_rows(news: Sequence[NewRun]) -> list[Inserted | Existing]:
    if any(new.unique_lock is not None for new in news):
        return insert_unique(news)
    config = get_config()
    return [*engine_for(config.database).insert(config.namespace, news)]


def _run(new: NewRun, row: Inserted) -> Run:
    """The run as the database has it."""
    config = get_config()
    columns = BLANK | {
        "id": row.id,
        "namespace": config.namespace,
        "queue": new.queue,
        "job": new.job,
        "version": new.version,
        "payload": new.payload,
        "priority": new.priority,
        "run_at": row.run_at,
        "expires_at": row.expires_at,
        "created_at": row.created_at,
        "max_attempts": new.max_attempts,
        "timeout_seconds": new.timeout_seconds,
        "delivery": new.delivery.value,
        "concurrency_key": new.concurrency_key,
        "rate_key": new.rate_key,
        "unique_key": new.unique_key,
        "unique_lock": new.unique_lock,
        "tags": None if new.tags is None else list(new.tags),
        "tenant": new.tenant,
        "user": new.user,
        "trace_id": new.trace_id,
        "metadata": new.metadata,
        "replay_of_id": new.replay_of,
        "schedule_id": new.schedule,
        "fires_at": new.fires_at,
        "missed": new.missed,
    }
    return Run.from_db(config.database, BLANK, columns.values())


def _existing(new: NewRun, run_id: int) -> Run:
    """The run that is there. Of one that was deleted, only what *new* has in common with it is known."""
    config = get_config()
    run = Run.objects.using(config.database).filter(pk=run_id).first()
    if run is None:
        known = {
            "id": run_id,
            "namespace": config.namespace,
            "queue": new.queue,
            "job": new.job,
            "payload": new.payload,
        }
        run = Run.from_db(config.database, list(known), list(known.values()))
    run.added = False
    return run
