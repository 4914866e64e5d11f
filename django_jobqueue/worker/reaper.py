"""The reaper: takes the runs of workers that vanished away from them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from time import monotonic

from django.db import transaction

from django_jobqueue.conf import external_queues, get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import Glance, LostRun, Ref, Settlement
from django_jobqueue.limiting.limiter import Limiter
from django_jobqueue.limiting.turn import freed
from django_jobqueue.states import State
from django_jobqueue.worker import crash
from django_jobqueue.worker.chore import later
from django_jobqueue.worker.dead_letters import Followers, add_followers, followers_of
from django_jobqueue.worker.hold import Hold
from django_jobqueue.worker.leases import Leases
from django_jobqueue.worker.observer import Observer

INTERVAL_SECONDS = 1.0
BATCH = 100
REFUSED_SECONDS = 60.0
"""When a run is tried again that the database would not settle."""
LOCKED_SECONDS = 3.0
"""Between the last time that somebody was seen to hold a row, and that its worker is taken for dead: it may renew it now."""

logger = logging.getLogger(__name__)


class Reaper:
    """Settles runs whose lease is over, about every second."""

    def __init__(self, observer: Observer) -> None:
        self.due_at = 0.0
        self._observer = observer
        self._config = get_config()
        self._engine = engine_for(self._config.database)
        self._hold = Hold()
        self._limiter = Limiter()
        self._passed_over: dict[Ref, float] = {}
        """Lost runs that are not to be had, and until when, by ``time.monotonic()``."""

    def sees(self, glance: Glance) -> bool:
        self._hold.begin_turn(glance.now)
        self._hold.end_turn()
        return glance.lost

    def turn(self, ours: Leases) -> bool:
        """Spares *ours*: as long as this process holds a lease, a late renewal is as good as one in time.

        While its own heartbeats are late, those of others may be.
        """
        now = self._engine.now()
        spared = [*external_queues(), *self._hold.begin_turn(now)]
        found = not ours.beats_are_late and self._reap(ours, spared=spared)
        self._hold.end_turn()
        self.due_at = later(INTERVAL_SECONDS)
        return found

    def _reap(self, ours: Leases, *, spared: Sequence[str]) -> bool:
        """Settle all runs whose lease is over, but those of *spared* queues.

        Answer whether there were some: others may start in their place.
        """
        self._passed_over = {ref: until for ref, until in self._passed_over.items() if monotonic() < until}
        found, full = False, True
        while full:
            limit = BATCH + len(ours) + len(self._passed_over)
            lost = self._engine.lost(self._config.namespace, limit=limit, but=spared)
            self._passed_over |= {run.ref: monotonic() + LOCKED_SECONDS for run in lost if run.locked}
            reaped = self._settle([run for run in lost if run.ref not in ours and run.ref not in self._passed_over])
            full = reaped >= BATCH
            found = found or reaped > 0
        return found

    def _settle(self, lost: Sequence[LostRun]) -> int:
        """Settle *lost* runs, if they still are; one by one, where an error keeps them from being settled together.

        Answer how many that were.
        """
        endings = [(run, crashed(run)) for run in lost]
        followers = followers_of(endings)
        try:
            return self._settle_together(endings, followers) if endings else 0
        except Exception as error:
            if self._engine.is_passing(error):
                raise
            logger.exception("%d lost runs could not be settled together, and are settled one by one.", len(endings))
        return sum(self._settle_alone(run, ending, followers) for run, ending in endings)

    def _settle_alone(self, run: LostRun, ending: Settlement, followers: Followers) -> int:
        try:
            return self._settle_together([(run, ending)], followers)
        except Exception as error:
            if self._engine.is_passing(error):
                raise
            logger.exception(
                "Run %d (%s.%s) is lost, which the database refuses to store; the next try follows in %.0f s.",
                *(run.id, run.queue, run.job, REFUSED_SECONDS),
            )
            self._passed_over[run.ref] = later(REFUSED_SECONDS)
            return 0

    def _settle_together(self, endings: Sequence[tuple[LostRun, Settlement]], followers: Followers) -> int:
        write = transaction.atomic(using=self._config.database)(self._write)
        states = self._engine.insist(partial(write, [ending for _, ending in endings], followers))
        for run, ending in endings:
            if (state := states.get(run.ref)) is not None:
                self._observer.reaped(run, ending, state)
        self._limiter.free(list(freed((run for run, _ in endings), states)))
        return len(states)

    def _write(self, endings: Sequence[Settlement], followers: Followers) -> dict[Ref, State]:
        states = self._engine.reap(endings)
        add_followers(followers, states)
        return states


def crashed(lost: LostRun) -> Settlement:
    """What becomes of a run whose worker vanished."""
    return crash.crashed(lost, f"Worker {lost.worker} vanished: its lease ended without a heartbeat.")
