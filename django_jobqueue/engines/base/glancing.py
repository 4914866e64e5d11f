"""What a worker sees at a glance: whether there is anything to do, for itself or for all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from django_jobqueue.engines.base.database import Database


class Glance(NamedTuple):
    """What there may be; where an engine cannot tell cheaply, there may be all."""

    now: datetime
    """The time of the database."""
    lost: bool = True
    """A run whose lease is over."""
    overdue: bool = True
    """A pending run that has expired."""
    parked: bool = True
    """A run that waits for a limit."""
    fires_in: float | None = 0.0
    """Seconds until the next schedule is due; None, if none ever is."""
    due_in: float | None = 0.0
    """Seconds until the next run of the worker's queues is due; None, if none is pending."""


class Glancing(Database):
    """How a worker that has nothing to do keeps watch."""

    def glance(self, namespace: str, queues: Sequence[str]) -> Glance:
        """Look at everything, in one statement; at runs that are due, in *queues* only."""
        return Glance(self.now())
