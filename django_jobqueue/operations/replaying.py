"""Replaying runs: their payload runs again, as a new run, by the job as it is now."""

from __future__ import annotations

from django.db import transaction

from django_jobqueue.conf import get_config
from django_jobqueue.engines.base import NewRun
from django_jobqueue.errors import RunNotEnded, RunNotFound, RunVetoed
from django_jobqueue.jobs import registry
from django_jobqueue.models import Run
from django_jobqueue.operations.activities import Actor, author, record
from django_jobqueue.operations.at_once import worked_at_once
from django_jobqueue.operations.inserting import insert
from django_jobqueue.operations.new_runs import new_run
from django_jobqueue.operations.operation import Auth, operation
from django_jobqueue.operations.selection import all_runs, run_by_id
from django_jobqueue.signals import RunEnqueued
from django_jobqueue.states import FINAL_STATES, OnDuplicate


@operation("jobs.replay", auth=Auth.ADMIN, emits=[RunEnqueued])
def replay(run_id: int | str, *, actor: Actor, reason: str = "") -> Run:
    """Run the payload of an ended run again, and return the new run.

    A run is replayed once, whoever asks how often: the answer is then the same new run, with ``added`` False. To run the
    payload yet again, replay that one. Raises RunNotFound, RunNotEnded, RunVetoed, DuplicateRun, and what ``enqueue``
    raises.
    """
    by = author(actor, reason)
    with transaction.atomic(using=get_config().database):
        old = run_by_id(run_id).select_for_update().first()  # whoever else replays it waits here
        if old is None:
            raise RunNotFound(run_id)
        if old.state not in FINAL_STATES:
            raise RunNotEnded(old.pk, old.state)
        before = all_runs().filter(replay_of=old.pk).first()
        if before is not None:
            before.added = False
            return before
        run = insert(again(old)._replace(on_duplicate=OnDuplicate.RAISE))
        record(replay.key, by, run=run, detail={"replay_of": old.pk})
    return worked_at_once(run)


def again(old: Run) -> NewRun:
    """What *old* was asked to do, asked of the job as it is now. As somebody wants it now, no window keeps it out."""
    job = registry.get(old.queue, old.job)
    new = new_run(
        old.queue,
        old.job,
        job.current_payload(old.payload, old.version),
        priority=old.priority,
        unique_key=(old.unique_key or None) if job.options.unique is not None else None,
        max_attempts=old.max_attempts,
        timeout_seconds=old.timeout_seconds,
        concurrency_key=old.concurrency_key,
        rate_key=old.rate_key,
        tags=old.tags or (),
        tenant=old.tenant,
        user=old.user,
        trace_id=old.trace_id,
        metadata=old.metadata,
    )
    if new is None:
        raise RunVetoed(old.queue, old.job)
    lock = new.unique_lock if new.unique_seconds is None else None
    return new._replace(replay_of=old.pk, unique_lock=lock, unique_seconds=None)
