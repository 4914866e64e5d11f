"""The sweeper: sees to it that no run is parked for nothing."""

from __future__ import annotations

from time import monotonic

from django_jobqueue.engines.base import Glance
from django_jobqueue.limiting import buckets
from django_jobqueue.limiting.sweep import Sweep
from django_jobqueue.worker.chore import later
from django_jobqueue.worker.leases import Leases

INTERVAL_SECONDS = 1.0
BUCKETS_SECONDS = 60.0
"""How often the buckets that are full again are thrown away."""


class Sweeper:
    """Sweeps the lines of all limits, about every second."""

    def __init__(self) -> None:
        self.due_at = 0.0
        self._buckets_at = later(BUCKETS_SECONDS)
        self._sweep = Sweep()

    def sees(self, glance: Glance) -> bool:
        return glance.parked or monotonic() >= self._buckets_at

    def turn(self, ours: Leases) -> bool:
        if monotonic() >= self._buckets_at:
            buckets.forget_full()
            self._buckets_at = later(BUCKETS_SECONDS)
        called = self._sweep.turn()
        self.due_at = later(INTERVAL_SECONDS)
        return called
