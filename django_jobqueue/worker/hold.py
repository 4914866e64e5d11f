"""When a reaper holds back: after an outage, and when the clock of the database has jumped.

One that has just begun does not, as it remembers no outage, and the database shows none: that for the time of a lease nobody
has renewed anything is what it finds, too, where the only worker was killed, whose runs it is to take back at once. Would it
wait for the living in any case, then a worker that is started now and then to drain would never take back anything.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from time import monotonic

from django_jobqueue.conf import QueueConfig, get_config
from django_jobqueue.conf.job import DAY_SECONDS
from django_jobqueue.models import Run
from django_jobqueue.states import State

logger = logging.getLogger(__name__)

OUTAGE_SECONDS = 5.0
"""A turn that comes so much after the last one says that this process was frozen, or the database away."""
OUTAGE_LEASES = HOLD_LEASES = 2 / 3
"""Two heartbeats: in an outage as long, leases may have ended, and for as long again those who live may renew them."""
JUMP_SECONDS = 5.0
"""The clock of the database has jumped, if it is so much off from one turn to the next."""
LONGEST_SECONDS = DAY_SECONDS
"""No lease may last longer."""


class Hold:
    """Tells a reaper whether leases are over because their workers are gone, or for another reason."""

    def __init__(self) -> None:
        self._last_turn = monotonic()
        self._until: dict[str, float] = {}
        """Until when each of our queues is spared, by its own leases."""
        self._clocks: tuple[datetime, float] | None = None
        """The time of the database, and ours."""

    def begin_turn(self, now: datetime) -> list[str]:
        """The queues in which no run is to be taken from anybody in this turn, at this time of the database."""
        away, has_jumped = monotonic() - self._last_turn, self._has_jumped(now)
        for queue in _our_queues():
            seconds = queue.lease_seconds
            if has_jumped:
                self._spare(queue, seconds)
            elif away > min(OUTAGE_SECONDS, seconds * OUTAGE_LEASES):
                self._spare(queue, seconds * HOLD_LEASES)
        spared = [queue for queue, until in self._until.items() if monotonic() < until]
        return spared + _unknown_queues() if spared else []

    def end_turn(self) -> None:
        """The database has answered all that the turn has asked of it."""
        self._last_turn = monotonic()

    def _spare(self, queue: QueueConfig, seconds: float) -> None:
        until = self._until.get(queue.name, 0.0)
        self._until[queue.name] = max(until, monotonic() + seconds)

    def _has_jumped(self, now: datetime) -> bool:
        """Whether the clock of the database is off from what it should be, by the last turn."""
        ticks = monotonic()
        before, self._clocks = self._clocks, (now, ticks)
        if before is None:
            _shorten_leases(now, None)
            return False
        jump = (now - before[0]).total_seconds() - (ticks - before[1])
        if abs(jump) <= JUMP_SECONDS:
            return False
        logger.warning("The clock of the database has jumped by %+.1f s: for a while no run is taken for lost.", jump)
        for queue in _our_queues():
            _shorten_leases(now, queue)
        return True


def _shorten_leases(now: datetime, queue: QueueConfig | None) -> None:
    """Let no lease of *queue*, or of any, last longer than it can: the clock was ahead when it began.

    The worker of such a lease may be gone for long. One that lives renews it anyway.
    """
    config = get_config()
    runs = Run.objects.using(config.database).filter(namespace=config.namespace, lease_until__isnull=False)
    seconds = LONGEST_SECONDS if queue is None else queue.lease_seconds
    if queue is not None:
        runs = runs.filter(queue=queue.name)
    runs.filter(lease_until__gt=now + timedelta(seconds=seconds + JUMP_SECONDS)).update(
        lease_until=now + timedelta(seconds=seconds)
    )


def _our_queues() -> list[QueueConfig]:
    """Those that we work; the default one is never external."""
    return [queue for queue in get_config().queues.values() if not queue.external]


def _unknown_queues() -> list[str]:
    """Those with running runs that only other releases know, and how long their leases are; none, almost always."""
    config = get_config()
    runs = Run.objects.using(config.database).filter(namespace=config.namespace, state=State.RUNNING)
    return list(runs.exclude(queue__in=list(config.queues)).values_list("queue", flat=True).distinct())
