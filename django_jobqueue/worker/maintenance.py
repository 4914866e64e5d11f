"""Maintenance: the chores of a worker, each at its own time."""

from __future__ import annotations

import logging
from time import monotonic

from django_jobqueue.worker.chore import Chore, later
from django_jobqueue.worker.connections import DATABASE_AWAY
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


class Maintenance:
    """Takes this worker's turn at each chore that is due."""

    def __init__(self, observer: Observer, tally: Tally) -> None:
        self._chores: list[Chore] = [
            Reaper(observer),
            Ticker(),
            Sweeper(),
            tally,
            Expirer(),
            Purger(),
            Housekeeper(),
        ]

    @property
    def due_at(self) -> float:
        """When the next chore is due, by ``time.monotonic()``."""
        return min(chore.due_at for chore in self._chores)

    def turn(self, ours: Leases) -> bool:
        """Do what is due, sparing *ours*; answer whether runs can be claimed now that could not before."""
        claimable = False
        for chore in self._chores:
            if monotonic() >= chore.due_at:
                claimable |= self._turn(chore, ours)
        return claimable

    def _turn(self, chore: Chore, ours: Leases) -> bool:
        try:
            return chore.turn(ours)
        except DATABASE_AWAY:
            raise
        except Exception:  # whatever it is, neither the runs nor the other chores must wait for it
            chore.due_at = later(RETRY_SECONDS)
            logger.exception("%s failed; the next try follows in %.0f s.", type(chore).__name__, RETRY_SECONDS)
            return False
