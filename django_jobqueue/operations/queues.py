"""Operations on queues."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from django_jobqueue.conf import Config, get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.errors import InvalidArgument, UnknownQueue, shown
from django_jobqueue.models.now import Now
from django_jobqueue.operations.activities import Actor, author, record
from django_jobqueue.operations.operation import Auth, operation
from django_jobqueue.operations.overrides import override, restore
from django_jobqueue.transports.publisher import publish_on_commit


@operation("queues.pause", auth=Auth.ADMIN)
def pause_queue(queue: str, *, actor: Actor, reason: str = "", until: datetime | None = None) -> None:
    """Let no worker claim runs of *queue*, for good or *until* a moment. Running ones continue; runs can be added.

    Takes effect with the commit, for every claim that starts later. Raises UnknownQueue, or InvalidArgument for an
    *until* in the past.
    """
    config, by, until = known_queue(queue), author(actor, reason), to_come(until)
    with transaction.atomic(using=config.database):
        override(queue, "", {"paused_at": Now(), "paused_until": until})
        detail = {"until": until.isoformat()} if until else {}
        record(pause_queue.key, by, queue=queue, detail=detail)


@operation("queues.resume", auth=Auth.ADMIN)
def resume_queue(queue: str, *, actor: Actor, reason: str = "") -> bool:
    """Let workers claim runs of *queue* again. Answers whether it was paused. Raises UnknownQueue or InvalidArgument."""
    config, by = known_queue(queue), author(actor, reason)
    with transaction.atomic(using=config.database):
        changed = restore(queue, "", "paused_at", "paused_until")
        if changed:
            record(resume_queue.key, by, queue=queue)
            publish_on_commit([queue])
    return changed


def known_queue(queue: str) -> Config:
    """The configuration, if it has *queue*. Raises UnknownQueue."""
    config = get_config()
    if queue not in config.queues:
        raise UnknownQueue(queue, config.queues)
    return config


def to_come(until: object) -> datetime | None:
    """Check when something is to end by itself. Raises InvalidArgument."""
    if until is None:
        return None
    if not isinstance(until, datetime) or timezone.is_naive(until) == settings.USE_TZ:
        kind = "an aware" if settings.USE_TZ else "a naive"
        raise InvalidArgument(f"until: must be {kind} datetime, as timezone.now() gives it, got {shown(until)}.")
    if until <= engine_for(get_config().database).now():
        raise InvalidArgument(f"until: {until} is in the past.")
    return until
