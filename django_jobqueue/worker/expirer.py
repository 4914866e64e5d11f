"""The expirer: cancels runs that were not started in time."""

from __future__ import annotations

from django_jobqueue.engines.base import Glance
from django_jobqueue.operations.expiring import expire_some
from django_jobqueue.worker.chore import later
from django_jobqueue.worker.leases import Leases

INTERVAL_SECONDS = 1.0
BUSY_INTERVAL_SECONDS = 0.05
"""While there is more to be done than one turn does."""


class Expirer:
    """Looks for them about every second. A claim passes over them anyhow; this gives them their end."""

    def __init__(self) -> None:
        self.due_at = 0.0

    def sees(self, glance: Glance) -> bool:
        return glance.overdue

    def turn(self, ours: Leases) -> bool:
        self.due_at = later(BUSY_INTERVAL_SECONDS if expire_some() else INTERVAL_SECONDS)
        return False
