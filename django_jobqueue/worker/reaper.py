"""The reaper: takes the runs of workers that vanished away from them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from django_jobqueue.conf import external_queues, get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import Glance, LostRun, Settlement
from django_jobqueue.limiting.limiter import Limiter
from django_jobqueue.limiting.turn import Freed
from django_jobqueue.worker import crash
from django_jobqueue.worker.chore import later
from django_jobqueue.worker.dead_letters import Followers, add_followers, followers_of
from django_jobqueue.worker.hold import Hold
from django_jobqueue.worker.leases import Leases
from django_jobqueue.worker.observer import Observer

INTERVAL_SECONDS = 1.0
BATCH = 100


class Reaper:
    """Settles runs whose lease is over, about every second."""

    def __init__(self, observer: Observer) -> None:
        self.due_at = 0.0
        self._observer = observer
        self._hold = Hold()
        self._limiter = Limiter()

    def sees(self, glance: Glance) -> bool:
        self._hold.begin_turn(glance.now)
        self._hold.end_turn()
        return glance.lost

    def turn(self, ours: Leases) -> bool:
        """Spares *ours*: as long as this process holds a lease, a late renewal is as good as one in time.

        While its own heartbeats are late, those of others may be.
        """
        now = engine_for(get_config().database).now()
        spared = [*external_queues(), *self._hold.begin_turn(now)]
        found = not ours.beats_are_late and self._reap(ours, spared=spared)
        self._hold.end_turn()
        self.due_at = later(INTERVAL_SECONDS)
        return found

    def _reap(self, ours: Leases, *, spared: Sequence[str]) -> bool:
        """Settle all runs whose lease is over, but those of *spared* queues.

        Answer whether there were some: others may start in their place.
        """
        config = get_config()
        found, full = False, True
        while full:
            followers: Followers = {}
            reaped = engine_for(config.database).reap(
                config.namespace,
                partial(_decided, ours, followers),
                limit=BATCH + len(ours),
                but=spared,
                then=partial(add_followers, followers),
            )
            full = len(reaped) >= BATCH
            for lost, state in reaped:
                self._observer.reaped(lost, crashed(lost), state)
            self._limiter.free([Freed(lost.queue, lost.job, lost.concurrency_key, state) for lost, state in reaped])
            found = found or bool(reaped)
        return found


def _decided(ours: Leases, followers: Followers, lost: LostRun) -> Settlement | None:
    """What becomes of a lost run, unless it is one of *ours*; what is then to be added goes to *followers*."""
    if lost.ref in ours:
        return None
    settlement = crashed(lost)
    followers.update(followers_of([(lost, settlement)]))
    return settlement


def crashed(lost: LostRun) -> Settlement:
    """What becomes of a run whose worker vanished."""
    return crash.crashed(lost, f"Worker {lost.worker} vanished: its lease ended without a heartbeat.")
