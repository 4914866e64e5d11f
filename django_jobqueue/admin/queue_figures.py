"""Figures of queues, at a price that does not depend on how many runs there are."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, Q, QuerySet
from django.utils.formats import number_format

from django_jobqueue.conf import get_config
from django_jobqueue.models import Run
from django_jobqueue.models.now import Now
from django_jobqueue.states import State

MOST = 1000
"""Pending runs of a queue that are counted, those that a worker would claim first; and of those that are parked, as many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFigures:
    """How many runs of a queue are in which state; at least so many pending ones where ``more`` is set."""

    due: int
    scheduled: int
    retrying: int
    running: int
    more: bool

    def shown(self, number: int) -> str:
        return f"{number_format(number, force_grouping=True)}{'+' if self.more else ''}"


def figures() -> dict[str, QueueFigures]:
    """The figures of each queue of the settings: one query for all that runs, and two for each queue."""
    running = _running()
    return {queue: _figures(queue, running.get(queue, 0)) for queue in get_config().queues}


def _figures(queue: str, running: int) -> QueueFigures:
    config = get_config()
    pending = Run.objects.using(config.database).filter(namespace=config.namespace, queue=queue, state=State.PENDING)
    # In the order of their indexes, so that reading stops there.
    in_sight = _counted(pending.filter(blocked_on=None).order_by("-priority", "run_at", "id"))
    parked = _counted(pending.filter(blocked_on__isnull=False).order_by("blocked_on", "-priority", "run_at", "id"))
    return QueueFigures(
        **{name: min(in_sight[name], MOST) + min(parked[name], MOST) for name in ("due", "scheduled", "retrying")},
        running=running,
        more=max(in_sight["pending"], parked["pending"]) > MOST,
    )


def _counted(runs: QuerySet[Run]) -> dict[str, int]:
    return runs[: MOST + 1].aggregate(
        pending=Count("pk"),
        due=Count("pk", filter=Q(run_at__lte=Now())),
        scheduled=Count("pk", filter=Q(run_at__gt=Now())),
        retrying=Count("pk", filter=Q(failures__gt=0)),
    )


def _running() -> dict[str, int]:
    """There are never more running runs than slots, and they have an index of their own."""
    config = get_config()
    found = Run.objects.using(config.database).filter(namespace=config.namespace, state=State.RUNNING)
    return dict(found.values("queue").annotate(number=Count("pk")).values_list("queue", "number"))
