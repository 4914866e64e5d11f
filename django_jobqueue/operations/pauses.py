"""Pauses: which queues and jobs rest now, since when and how long, and who let them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q

from django_jobqueue.conf import get_config
from django_jobqueue.limiting.rules import declared_rules
from django_jobqueue.models import Activity, QueueState

OPERATIONS = ["queues.pause", "queues.pause_job"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """The pause of a queue, or of one job of it."""

    queue: str
    job: str
    """Empty for the queue as a whole."""
    since: datetime
    until: datetime | None
    """None: until somebody ends it."""
    actor: str | None
    reason: str


def pauses(queues: Collection[str], *, now: datetime) -> dict[tuple[str, str], Pause]:
    """All pauses of *queues* that are not over, by queue and job; in two queries, or in one if there are none."""
    config = get_config()
    states = list(
        QueueState.objects.using(config.database)
        .filter(
            Q(paused_until=None) | Q(paused_until__gt=now),
            namespace=config.namespace,
            queue__in=queues,
            paused_at__isnull=False,
        )
        .order_by("paused_at")
    )
    activities = _activities(states)
    found = {}
    for state in states:
        if state.paused_at is not None:
            activity = activities.get((state.queue, state.job))
            job = declared_rules(state.queue).job_of(state.job)
            found[state.queue, job] = Pause(
                queue=state.queue,
                job=job,
                since=state.paused_at,
                until=state.paused_until,
                actor=activity.actor if activity else None,
                reason=activity.reason if activity else "",
            )
    return found


def _activities(states: Collection[QueueState]) -> dict[tuple[str, str], Activity]:
    """The latest activity that paused each of them.

    A second more is asked for: in SQLite, the text of what the database wrote (.123) comes before that of the same
    moment as Python writes it (.123000).
    """
    config = get_config()
    moments = [state.paused_at for state in states if state.paused_at is not None]
    if not moments:
        return {}
    found = Activity.objects.using(config.database).filter(
        namespace=config.namespace,
        operation__in=OPERATIONS,
        queue__in={state.queue for state in states},
        created_at__gte=min(moments) - timedelta(seconds=1),
    )
    return {
        (activity.queue, (activity.detail or {}).get("job", "")): activity
        for activity in found.order_by("created_at", "pk")
        if activity.queue
    }
