"""Overrides: what operators set for a queue, or for one job of it, over the settings. Each has one row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Q, QuerySet

from django_jobqueue.conf import get_config
from django_jobqueue.limiting.rules import declared_rules
from django_jobqueue.models import QueueState
from django_jobqueue.models.now import Now


def override(queue: str, job: str, columns: Mapping[str, Any]) -> None:
    """Set these *columns* for *job*, or where that is empty, for *queue* as a whole.

    What was set under an old name of the job is over: it would come back when this ends.
    """
    config = get_config()
    _of(queue, job).exclude(job=job).update(**dict.fromkeys(columns))
    QueueState.objects.using(config.database).update_or_create(
        namespace=config.namespace, queue=queue, job=job, defaults=columns
    )


def restore(queue: str, job: str, column: str, ends: str) -> bool:
    """Let a *column*, and the one that says when it *ends*, be as the settings say. Answers whether it was set, and lasted."""
    set_ = _of(queue, job).filter(**{f"{column}__isnull": False})
    lasted = set_.filter(Q(**{ends: None}) | Q(**{f"{ends}__gt": Now()})).exists()
    set_.update(**{column: None, ends: None})
    return lasted


def _of(queue: str, job: str) -> QuerySet[QueueState]:
    """The rows of a queue as a whole, or of a job under all its names."""
    config = get_config()
    return QueueState.objects.using(config.database).filter(
        namespace=config.namespace, queue=queue, job__in=declared_rules(queue).names(job)
    )
