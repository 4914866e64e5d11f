"""Purging: runs that ended long enough ago are deleted, with their attempts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Min, Q

from django_jobqueue.conf import Cleanup, get_config
from django_jobqueue.conf.cleanup import LONGEST_SECONDS
from django_jobqueue.engines import engine_for
from django_jobqueue.errors import InvalidArgument, UnknownQueue, shown
from django_jobqueue.models import Run
from django_jobqueue.operations.activities import Actor, Chronicle, author
from django_jobqueue.operations.batches import untold
from django_jobqueue.operations.operation import Auth, operation
from django_jobqueue.states import State

WINDOW = 500
"""Ids that one step of a walk looks at."""

ENDS = ([State.COMPLETED], [State.FAILED, State.DEAD_LETTERED, State.CANCELLED])
"""The states in which runs are kept equally long."""


class Walk:
    """Finds the runs whose time is over, from the oldest id up.

    No index leads to them: it would cost every run, all its life. A step looks at the next few ids, whatever they are, and
    so costs the same on a table of any size. The walk is over where all of them are too young.
    """

    def __init__(self, cleanups: Mapping[str, Cleanup]) -> None:
        config = get_config()
        now = engine_for(config.database).now()
        limits = list(_limits(cleanups))
        self.is_over = not limits
        self._too_young = now - timedelta(seconds=min((seconds for seconds, *_ in limits), default=0))
        self._position = 0
        self._runs = Run.objects.using(config.database)
        self._expired = self._runs.filter(_any_of(limits, now), namespace=config.namespace).outside_windows(now)

    def step(self) -> dict[int, State]:
        """Those of the next runs whose time is over, each with the state in which it ended."""
        first = self._runs.filter(pk__gt=self._position).order_by("pk").values_list("pk", flat=True).first()
        if first is None:
            self.is_over = True
            return {}
        self._position = first + WINDOW - 1
        window = Q(pk__range=(first, self._position))
        oldest = self._runs.filter(window).aggregate(oldest=Min("created_at"))["oldest"]
        self.is_over = oldest is None or oldest > self._too_young
        return {run_id: State(state) for run_id, state in self._expired.filter(window).values_list("pk", "state")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """How many runs were purged, by the state in which they had ended."""

    completed: int = 0
    failed: int = 0
    dead_lettered: int = 0
    cancelled: int = 0
    dry_run: bool = False
    """Whether they were only counted."""


@operation("jobs.purge", auth=Auth.ADMIN)
def purge(
    queue: str | None = None,
    *,
    actor: Actor,
    reason: str = "",
    completed_after_seconds: float | None = None,
    failed_after_seconds: float | None = None,
    dry_run: bool = False,
    on_batch: Callable[[Purged], object] = untold,
) -> Purged:
    """Purge the runs of *queue*, or of all queues, that ended longer ago than their ``cleanup`` says, or than is said here.

    In batches, each in a transaction of its own; *on_batch* is told after each what came of it so far. Workers do the same all
    the time; this does it at once. Raises UnknownQueue or InvalidArgument.
    """
    by = author(actor, reason)
    given = {"completed_after_seconds": completed_after_seconds, "failed_after_seconds": failed_after_seconds}
    changes = {name: _checked(name, seconds) for name, seconds in given.items() if seconds is not None}
    cleanups = {name: replace(cleanup, **changes) for name, cleanup in cleanups_of(queue).items()}
    engine = engine_for(get_config().database)
    walk, counted = Walk(cleanups), Counter[State]()
    chronicle = Chronicle(purge.key, by, queue=queue, detail=changes)
    while not walk.is_over:
        expired = walk.step()
        if expired and not dry_run:
            with transaction.atomic(using=get_config().database):
                expired = {run_id: expired[run_id] for run_id in engine.purge(list(expired))}
                if expired:  # and nobody else was faster
                    chronicle.write(counted + Counter(expired.values()))
        counted.update(expired.values())
        on_batch(_purged(counted, dry_run))
    return _purged(counted, dry_run)


def _purged(counted: Mapping[State, int], dry_run: bool) -> Purged:
    return Purged(**{state.value: number for state, number in counted.items()}, dry_run=dry_run)


def cleanups_of(queue: str | None = None) -> dict[str, Cleanup]:
    """How long the runs of each queue are kept, or of one; but for those of external ones. Raises UnknownQueue."""
    queues = get_config().queues
    if queue is not None and queue not in queues:
        raise UnknownQueue(queue, queues)
    return {name: config.cleanup for name, config in queues.items() if queue in {None, name} and not config.external}


def _limits(cleanups: Mapping[str, Cleanup]) -> Iterator[tuple[float, list[State], list[str]]]:
    """For how many seconds runs are kept that ended in which states, in which queues; not those that are kept for ever."""
    for states in ENDS:
        queues: dict[float, list[str]] = defaultdict(list)
        for queue, cleanup in cleanups.items():
            seconds = cleanup.seconds_after(states[0])
            if seconds is not None:
                queues[seconds].append(queue)
        yield from ((seconds, states, names) for seconds, names in queues.items())


def _any_of(limits: Iterable[tuple[float, list[State], list[str]]], now: datetime) -> Q:
    expired = Q(pk__in=[])
    for seconds, states, queues in limits:
        expired |= Q(state__in=states, queue__in=queues, finished_at__lte=now - timedelta(seconds=seconds))
    return expired


def _checked(name: str, seconds: object) -> float:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= LONGEST_SECONDS:
        raise InvalidArgument(f"{name}: must be a number of seconds from 0 on, got {shown(seconds)}.")
    return float(seconds)
