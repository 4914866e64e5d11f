"""The record of operations: who did what, and why."""

from __future__ import annotations

from typing import Any

from django.db.models.functions import Now

from django_jobqueue.conf import get_config
from django_jobqueue.models import Activity, Run


def record(
    operation: str,
    *,
    actor: str,
    reason: str,
    queue: str | None = None,
    run: Run | None = None,
    detail: dict[str, Any] | None = None,
) -> None:
    """Write down an operation, in the transaction that carries it out."""
    config = get_config()
    Activity.objects.using(config.database).create(
        namespace=config.namespace,
        operation=operation,
        actor=actor,
        reason=reason,
        queue=run.queue if run is not None else queue,
        run_id=run.pk if run is not None else None,
        detail=detail or {},
        created_at=Now(),
    )
