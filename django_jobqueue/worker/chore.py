"""Chores: what any worker does for all, now and then. None needs a leader: what two workers do at once is done once."""

from __future__ import annotations

import random
from time import monotonic
from typing import Protocol

from django_jobqueue.engines.base import Glance
from django_jobqueue.worker.leases import Leases


class Chore(Protocol):
    """Something that is to be done again and again."""

    due_at: float
    """When its next turn is due, by ``time.monotonic()``; set by itself."""

    def turn(self, ours: Leases) -> bool:
        """Do what is due, and answer whether runs can be claimed now that could not before. *Ours* are this worker's."""


class Watch(Chore, Protocol):
    """A chore of which a glance shows whether there is anything to do."""

    def sees(self, glance: Glance) -> bool:
        """Whether a turn is to be taken."""


def later(seconds: float) -> float:
    """When to be due again, in about so many *seconds*: not in step with other workers."""
    return monotonic() + seconds * random.uniform(0.8, 1.2)
