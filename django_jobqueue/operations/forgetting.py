"""Forgetting: what is kept for a while beside the runs, and is over."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import connections, transaction
from django.db.models import QuerySet

from django_jobqueue.conf import get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.models import Activity, IdempotencyKey, Skip, Worker

BATCH = 1000
VANISHED_SECONDS = 3600.0
"""After its last heartbeat, a worker is shown for so long as lost."""


def forget_some() -> bool:
    """Delete some of what is over; answer whether there is more."""
    config = get_config()
    now = engine_for(config.database).now()
    vanished = now - timedelta(seconds=VANISHED_SECONDS)
    over: list[QuerySet[Any]] = [
        Worker.objects.filter(heartbeat_at__lt=vanished, namespace=config.namespace).order_by("heartbeat_at"),
        IdempotencyKey.objects.expired().filter(namespace=config.namespace).order_by("expires_at"),
    ]
    kept = config.cleanup.activities_after_seconds
    if kept is not None:
        since = now - timedelta(seconds=kept)
        over += [
            Activity.objects.filter(created_at__lt=since, namespace=config.namespace).order_by("created_at"),
            Skip.objects.filter(last_at__lt=since, schedule__namespace=config.namespace).order_by("last_at"),
        ]
    return max(_delete_some(found.using(config.database)) for found in over) == BATCH


def _delete_some(found: QuerySet[Any]) -> int:
    """Delete the first of the rows, those that nobody else is about to delete; answer how many."""
    own_rows = ["self"] if connections[found.db].features.has_select_for_update_of else []
    with transaction.atomic(using=found.db):
        keys = list(found.select_for_update(skip_locked=True, of=own_rows).values_list("pk", flat=True)[:BATCH])
        if keys:
            found.filter(pk__in=keys).delete()
    return len(keys)
