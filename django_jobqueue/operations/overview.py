"""The overview: for each queue of the settings what is declared, who works it, and whether it is paused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q

from django_jobqueue.conf import QueueConfig, get_config
from django_jobqueue.jobs import registry
from django_jobqueue.models import Activity, QueueState
from django_jobqueue.operations.workers import live_workers


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueOverview:
    """How one queue stands."""

    config: QueueConfig
    jobs: list[str]
    """The names of its jobs."""
    workers: int
    """How many living workers listen to it."""
    state: QueueState | None
    """Its pause; None where it is not paused."""
    pause: Activity | None
    """Who paused it, and why."""


def overview(*, now: datetime) -> list[QueueOverview]:
    """All queues, in the order of the settings, in three queries at most."""
    workers = Counter(queue for worker in live_workers(now=now) for queue in worker.queues)
    paused = _paused(now)
    pauses = _pauses(paused)
    return [
        QueueOverview(
            config=queue,
            jobs=registry.names(name),
            workers=workers[name],
            state=paused.get(name),
            pause=pauses.get(name),
        )
        for name, queue in get_config().queues.items()
    ]


def _paused(now: datetime) -> dict[str, QueueState]:
    config = get_config()
    states = QueueState.objects.using(config.database).filter(
        Q(paused_until=None) | Q(paused_until__gt=now), namespace=config.namespace, job="", paused_at__isnull=False
    )
    return {state.queue: state for state in states}


def _pauses(paused: Mapping[str, QueueState]) -> dict[str, Activity]:
    """The latest activity that paused each queue.

    A second more is asked for: in SQLite, the text of what the database wrote (.123) comes before that of the same
    moment as Python writes it (.123000).
    """
    config = get_config()
    moments = [state.paused_at for state in paused.values() if state.paused_at is not None]
    if not moments:
        return {}
    found = Activity.objects.using(config.database).filter(
        namespace=config.namespace,
        operation="queues.pause",
        queue__in=list(paused),
        created_at__gte=min(moments) - timedelta(seconds=1),
    )
    return {activity.queue: activity for activity in found.order_by("created_at", "pk") if activity.queue}
