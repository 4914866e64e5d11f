"""Operations on one job of a queue: pause and resume."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from django_jobqueue.conf import get_config
from django_jobqueue.jobs import registry
from django_jobqueue.limiting.sweep import sweep_on_commit
from django_jobqueue.models.now import Now
from django_jobqueue.operations.activities import Actor, author, record
from django_jobqueue.operations.operation import Auth, operation
from django_jobqueue.operations.overrides import override, restore
from django_jobqueue.operations.queues import to_come
from django_jobqueue.transports.publisher import publish_on_commit


@operation("queues.pause_job", auth=Auth.ADMIN)
def pause_job(queue: str, job: str, *, actor: Actor, reason: str = "", until: datetime | None = None) -> None:
    """Let no worker claim runs of *job*, for good or *until* a moment. Running ones continue; runs can be added.

    The other jobs of *queue* are not affected. Takes effect with the commit, for every claim that starts later. Raises
    UnknownQueue, UnknownJob, or InvalidArgument for an *until* in the past.
    """
    name, by, until = registry.get(queue, job).name, author(actor, reason), to_come(until)
    with transaction.atomic(using=get_config().database):
        override(queue, name, {"paused_at": Now(), "paused_until": until})
        detail = {"job": name} | ({"until": until.isoformat()} if until else {})
        record(pause_job.key, by, queue=queue, detail=detail)


@operation("queues.resume_job", auth=Auth.ADMIN)
def resume_job(queue: str, job: str, *, actor: Actor, reason: str = "") -> bool:
    """Let workers claim runs of *job* again, and call those that wait. Answers whether it was paused.

    Raises UnknownQueue, UnknownJob or InvalidArgument.
    """
    name, by = registry.get(queue, job).name, author(actor, reason)
    with transaction.atomic(using=get_config().database):
        changed = restore(queue, name, "paused_at", "paused_until")
        if changed:
            record(resume_job.key, by, queue=queue, detail={"job": name})
            sweep_on_commit(queue)
            publish_on_commit([queue])
    return changed
