"""Operations on queues."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models.functions import Now

from django_jobqueue.conf import Config, get_config
from django_jobqueue.errors import UnknownQueue
from django_jobqueue.models import QueueState
from django_jobqueue.operations.activities import record


def pause_queue(queue: str, *, actor: str, reason: str = "", until: datetime | None = None) -> None:
    """Let no worker claim runs of *queue*, for good or *until* a moment. What runs goes on, and adding too.

    Takes effect with the commit, for every claim that starts later. Raises UnknownQueue.
    """
    config = _known(queue)
    with transaction.atomic(using=config.database):
        QueueState.objects.using(config.database).update_or_create(
            namespace=config.namespace, queue=queue, job="", defaults={"paused_at": Now(), "paused_until": until}
        )
        detail = {"until": until.isoformat()} if until else {}
        record("queues.pause", actor=actor, reason=reason, queue=queue, detail=detail)


def resume_queue(queue: str, *, actor: str, reason: str = "") -> bool:
    """Let workers claim runs of *queue* again. Answers whether it was paused. Raises UnknownQueue."""
    config = _known(queue)
    with transaction.atomic(using=config.database):
        paused = QueueState.objects.using(config.database).filter(
            namespace=config.namespace, queue=queue, job="", paused_at__isnull=False
        )
        changed = bool(paused.update(paused_at=None, paused_until=None))
        if changed:
            record("queues.resume", actor=actor, reason=reason, queue=queue)
    return changed


def _known(queue: str) -> Config:
    config = get_config()
    if queue not in config.queues:
        raise UnknownQueue(queue, config.queues)
    return config
