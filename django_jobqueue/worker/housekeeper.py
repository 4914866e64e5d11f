"""The housekeeper: keeps small what is kept beside the runs."""

from __future__ import annotations

from django_jobqueue.operations.counting import put_together
from django_jobqueue.operations.forgetting import forget_some
from django_jobqueue.worker.chore import later
from django_jobqueue.worker.leases import Leases

INTERVAL_SECONDS = 300.0
BUSY_INTERVAL_SECONDS = 1.0
"""While there is more to be done than one turn does."""


class Housekeeper:
    """Lets be forgotten what is over, and puts old statistics together, about every five minutes."""

    def __init__(self) -> None:
        self.due_at = 0.0

    def turn(self, ours: Leases) -> bool:
        more = [forget_some(), put_together()]
        self.due_at = later(BUSY_INTERVAL_SECONDS if any(more) else INTERVAL_SECONDS)
        return False
