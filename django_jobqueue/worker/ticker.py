"""The ticker: any worker's turn at firing schedules."""

from __future__ import annotations

import logging
from time import monotonic

from django_jobqueue.engines.base import Glance
from django_jobqueue.operations.schedule_sync import schedule_problems, sync_schedules, tend_schedules
from django_jobqueue.scheduler import Scheduler
from django_jobqueue.worker.asker import Asker
from django_jobqueue.worker.chore import later
from django_jobqueue.worker.leases import Leases

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 1.0
"""After which it looks again, whatever it knows: somebody may have changed a schedule."""
TEND_SECONDS = 60.0


class Ticker:
    """Fires what is due, on the dot where it is known. It needs no leader: due rows are locked while they are fired."""

    def __init__(self) -> None:
        self.due_at = 0.0
        self._asker = Asker()
        self._scheduler: Scheduler | None = None
        self._tend_at = 0.0

    def sees(self, glance: Glance) -> bool:
        is_due = glance.fires_in is not None and glance.fires_in <= 0
        if self._scheduler is None or is_due or monotonic() >= self._tend_at:
            return True
        self._scheduler.rest()
        self._asker.tell_of_hanging()
        return False

    def turn(self, ours: Leases) -> bool:
        if self._scheduler is None:
            self._scheduler = self._begin()
        if monotonic() >= self._tend_at:
            tend_schedules()
            self._tend_at = later(TEND_SECONDS)
        fired, wait_seconds = self._scheduler.tick()
        self._asker.tell_of_hanging()
        self.due_at = later(INTERVAL_SECONDS)
        if wait_seconds is not None:
            self.due_at = min(self.due_at, monotonic() + wait_seconds)
        return fired > 0

    def _begin(self) -> Scheduler:
        for problem in schedule_problems():
            logger.error("%s", problem)
        sync_schedules()
        return Scheduler(self._asker)
