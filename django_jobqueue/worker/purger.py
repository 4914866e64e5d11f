"""The purger: deletes the runs whose time is over, a few at a time, however busy the worker is."""

from __future__ import annotations

from time import monotonic

from django_jobqueue.conf import get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.operations.purging import Walk, cleanups_of
from django_jobqueue.operations.workers import live_workers
from django_jobqueue.worker.chore import later
from django_jobqueue.worker.leases import Leases

SHARE = 0.1
"""Of the worker's time, while there is something to purge."""
LOOKING_SHARE = 0.02
"""Of the time of one worker, for looking in vain: all workers together take no more."""
LEAST_REST_SECONDS = 60.0
"""Between two walks through the runs."""


class Purger:
    """Walks through all runs again and again, step by step, and rests after each in proportion to what it took."""

    def __init__(self) -> None:
        self.due_at = 0.0
        self._engine = engine_for(get_config().database)
        self._walk: Walk | None = None
        self._in_vain = 0.0
        """Seconds of this walk in which nothing was found."""

    def turn(self, ours: Leases) -> bool:
        began = monotonic()
        walk = self._walk = self._walk or Walk(cleanups_of())
        expired = {} if walk.is_over else walk.step()
        if expired:
            self._engine.purge(list(expired))
        took = monotonic() - began
        if not expired:
            self._in_vain += took
        self.due_at = later(self._rest() if walk.is_over else took * (1 / SHARE - 1))
        return False

    def _rest(self) -> float:
        """End the walk; answer how long to wait for the next one."""
        rest = self._in_vain * (1 / LOOKING_SHARE - 1) * len(live_workers(now=self._engine.now()))
        self._walk, self._in_vain = None, 0.0
        return max(LEAST_REST_SECONDS, rest)
