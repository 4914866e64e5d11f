"""When a reaper holds back: after an outage, and when the clock of the database has jumped."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from time import monotonic

from django_jobqueue.conf import QueueConfig, get_config
from django_jobqueue.conf.job import DAY_SECONDS
from django_jobqueue.engines import engine_for
from django_jobqueue.models import Run

logger = logging.getLogger(__name__)

OUTAGE_SECONDS = 5.0
"""A turn that comes so much after the last one says that this process was frozen, or the database away."""
OUTAGE_LEASES = HOLD_LEASES = 2 / 3
"""Two heartbeats: in an outage as long, leases may have ended, and for as long again those who live may renew them."""
TURN_SECONDS = 1.5
"""Turns that follow each other are not further apart than that."""
JUMP_SECONDS = 5.0
"""The clock of the database has jumped, if it is so much off from one turn to the next."""
LONGEST_SECONDS = DAY_SECONDS
"""No lease may last longer."""


class Hold:
    """Tells a reaper whether leases are over because their workers are gone, or for another reason."""

    def __init__(self) -> None:
        self._last_turn = monotonic()
        self._until = 0.0
        self._clocks: tuple[datetime, float] | None = None
        """The time of the database, and ours."""

    def begin_turn(self) -> bool:
        """Whether to take no run from anybody in this turn."""
        away, seconds = monotonic() - self._last_turn, max(queue.lease_seconds for queue in _our_queues())
        if away > min(OUTAGE_SECONDS, max(TURN_SECONDS, seconds * OUTAGE_LEASES)):
            self._until = monotonic() + seconds * HOLD_LEASES
        jump = self._jump()
        if abs(jump) > JUMP_SECONDS:
            logger.warning(
                "The clock of the database has jumped by %+.1f s: for a while no run is taken for lost.", jump
            )
            self._until = monotonic() + seconds
        return monotonic() < self._until

    def end_turn(self) -> None:
        """The database has answered all that the turn has asked of it."""
        self._last_turn = monotonic()

    def _jump(self) -> float:
        """By how much the clock of the database is off from what it should be, by the last turn."""
        before, self._clocks = self._clocks, (engine_for(get_config().database).now(), monotonic())
        now, ticks = self._clocks
        if before is None:
            _shorten_leases(now, None)
            return 0.0
        jump = (now - before[0]).total_seconds() - (ticks - before[1])
        if jump < -JUMP_SECONDS:
            for queue in _our_queues():
                _shorten_leases(now, queue)
        return jump


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
