"""Maintenance: the chores of a worker, each at its own time."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from math import inf
from time import monotonic

from django_jobqueue.conf import get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.worker.chore import Chore, Watch, later
from django_jobqueue.worker.expirer import Expirer
from django_jobqueue.worker.housekeeper import Housekeeper
from django_jobqueue.worker.leases import Leases
from django_jobqueue.worker.observer import Observer
from django_jobqueue.worker.purger import Purger
from django_jobqueue.worker.reaper import Reaper
from django_jobqueue.worker.sweeper import Sweeper
from django_jobqueue.worker.tally import Tally
from django_jobqueue.worker.ticker import Ticker

logger = logging.getLogger(__name__)

RETRY_SECONDS = 5.0
"""When a chore that failed is tried again."""
LOOK_SECONDS = 1.4
"""Between two glances: an idle worker costs the database less than a statement per second, and a lease that is over is seen
in time."""
LOOKS_PER_LEASE = 2


class Maintenance:
    """Takes this worker's turn at each chore that is due, and looks out for what is due in *queues*."""

    def __init__(self, observer: Observer, tally: Tally, queues: Sequence[str]) -> None:
        self._config = get_config()
        self._engine = engine_for(self._config.database)
        self._queues = list(queues)
        self._watches: list[Watch] = [Reaper(observer), Ticker(), Sweeper(), Expirer()]
        self._chores: list[Chore] = [*self._watches, tally, Purger(), Housekeeper()]
        self._look_at = 0.0
        """When to glance again."""

    @property
    def due_at(self) -> float:
        """When the next chore is due, by ``time.monotonic()``."""
        return min(self._look_at, *(chore.due_at for chore in self._chores))

    def turn(self, ours: Leases) -> bool:
        """Do what is due, sparing *ours*; answer whether runs can be claimed now that could not before."""
        claimable = monotonic() >= self._look_at and self._look()
        for chore in self._chores:
            if monotonic() >= chore.due_at:
                claimable |= self._turn(chore, ours)
        return claimable

    def _look(self) -> bool:
        """Glance, and let only those take a turn who have something to do; answer whether a run is due."""
        glance = self._engine.glance(self._config.namespace, self._queues)
        for watch in self._watches:
            if not watch.sees(glance):
                watch.due_at = inf
            elif watch.due_at == inf:
                watch.due_at = 0.0
        awaited = [seconds for seconds in (glance.fires_in, glance.due_in) if seconds is not None and seconds > 0]
        self._look_at = monotonic() + min([self._interval(), *awaited])
        return glance.due_in is not None and glance.due_in <= 0

    def _interval(self) -> float:
        """Seconds until the next glance: not in step with other workers."""
        leases = (queue.lease_seconds / LOOKS_PER_LEASE for queue in self._config.queues.values())
        return min(LOOK_SECONDS, self._config.worker.poll_seconds, *leases) * random.uniform(0.93, 1.07)

    def _turn(self, chore: Chore, ours: Leases) -> bool:
        try:
            return chore.turn(ours)
        except Exception as error:  # whatever it is, neither the runs nor the other chores must wait for it
            if self._engine.is_away(error) or self._engine.is_busy(error):
                raise
            chore.due_at = later(RETRY_SECONDS)
            logger.exception("%s failed; the next try follows in %.0f s.", type(chore).__name__, RETRY_SECONDS)
            return False
