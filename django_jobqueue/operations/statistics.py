"""Figures of queues: how many runs are where."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Min, Q
from django.db.models import Sum as SumOf

from django_jobqueue.conf import get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.errors import UnknownQueue
from django_jobqueue.limiting.rules import declared_rules
from django_jobqueue.models import Stat
from django_jobqueue.operations.operation import Auth, operation
from django_jobqueue.operations.selection import all_runs
from django_jobqueue.states import FINAL_STATES, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """How many runs of a queue are where.

    Those that live are counted now. Those that have ended were counted as they ended, from the beginning on, and are
    still counted when they have been purged.
    """

    pending: int = 0
    scheduled: int = 0
    """Of the pending ones: those for a time to come."""
    retrying: int = 0
    """Of the pending ones: those that have failed before."""
    parked: int = 0
    """Of the pending ones: those that a limit, or a job that is paused, holds back."""
    running: int = 0
    completed: int = 0
    failed: int = 0
    dead_lettered: int = 0
    cancelled: int = 0
    oldest_due_age_seconds: float | None = None
    """How long the first of the pending ones has been due; None where none is due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """The figures of some queues, each and together."""

    total: Figures
    queues: Mapping[str, Figures]


@operation("jobs.stats", auth=Auth.ADMIN)
def stats(queue: str | None = None) -> Stats:
    """Count the runs of *queue*, or of all queues that there are, also if they have left the settings.

    What it costs depends on how many runs live, not on how many there were. Raises UnknownQueue.
    """
    known = get_config().queues
    if queue is not None and queue not in known:
        raise UnknownQueue(queue, known)
    scope = Q() if queue is None else Q(queue=queue)
    figures: dict[str, dict[str, Any]] = {name: {} for name in (known if queue is None else [queue])}
    for counts in (_pending(scope), _running(scope)):
        for name, numbers in counts.items():
            figures.setdefault(name, {}).update(numbers)
    for name, state, number in _ended(scope):
        if name in figures:
            figures[name][state] = number
    of_queues = {name: Figures(**numbers) for name, numbers in figures.items()}
    return Stats(total=_together(of_queues.values()), queues=of_queues)


def oldest_due_age(queue: str, *, besides: Iterable[str]) -> float | None:
    """How long the first due run of *queue* has been due, in seconds, *besides* those of some of its jobs."""
    rules = declared_rules(queue)
    names = [name for job in besides for name in rules.names(job)]
    now = engine_for(get_config().database).now()
    runs = all_runs().filter(queue=queue, state=State.PENDING, run_at__lte=now).exclude(job__in=names)
    first = runs.aggregate(first=Min("run_at"))["first"]
    return (now - first).total_seconds() if first else None


def _pending(scope: Q) -> dict[str, dict[str, Any]]:
    """By the index that claims walk, and by that of the parked ones."""
    now = engine_for(get_config().database).now()
    numbers: dict[str, dict[str, Any]] = {}
    for is_parked in (False, True):
        runs = all_runs().filter(scope, state=State.PENDING, blocked_on__isnull=not is_parked)
        counted = runs.values_list("queue").annotate(
            pending=Count("pk"),
            scheduled=Count("pk", filter=Q(run_at__gt=now)),
            retrying=Count("pk", filter=Q(failures__gt=0)),
            first=Min("run_at"),
        )
        for queue, pending, scheduled, retrying, first in counted:
            known = numbers.setdefault(queue, defaultdict(int, first=first))
            known["pending"] += pending
            known["parked"] += pending if is_parked else 0
            known["scheduled"] += scheduled
            known["retrying"] += retrying
            known["first"] = min(known["first"], first)
    for known in numbers.values():
        first = known.pop("first")
        known["oldest_due_age_seconds"] = (now - first).total_seconds() if first <= now else None
    return numbers


def _running(scope: Q) -> dict[str, dict[str, Any]]:
    rows = all_runs().filter(scope, state=State.RUNNING).values_list("queue").annotate(running=Count("pk"))
    return {queue: {"running": running} for queue, running in rows}


def _ended(scope: Q) -> Iterable[tuple[str, str, int]]:
    config = get_config()
    rows = Stat.objects.using(config.database).filter(scope, namespace=config.namespace, outcome__in=FINAL_STATES)
    return rows.values_list("queue", "outcome").annotate(number=SumOf("count"))


def _together(figures: Iterable[Figures]) -> Figures:
    """The sums; and the oldest of all."""
    each = list(figures)
    names = [name for name in Figures.__slots__ if name != "oldest_due_age_seconds"]
    ages = [one.oldest_due_age_seconds for one in each if one.oldest_due_age_seconds is not None]
    return Figures(
        **{name: sum(getattr(one, name) for one in each) for name in names},
        oldest_due_age_seconds=max(ages, default=None),
    )
