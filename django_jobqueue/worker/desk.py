"""The desk of a worker: what has ended and is to be settled, what is to be handed back, and how much more fits."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from enum import Enum
from math import inf
from queue import Empty, SimpleQueue
from time import monotonic

from django_jobqueue.jobs import Notes
from django_jobqueue.worker.assignment import Assignment, known_job
from django_jobqueue.worker.exchange import Exchange
from django_jobqueue.worker.executors.slots import Executors
from django_jobqueue.worker.leases import Lease, Leases
from django_jobqueue.worker.observer import Observer
from django_jobqueue.worker.pace import Pace
from django_jobqueue.worker.returns import Returns
from django_jobqueue.worker.runner import Ended, Refused
from django_jobqueue.worker.shutdown import Shutdown
from django_jobqueue.worker.unknown_jobs import UnknownJobs

BUSY_LOOK_SECONDS = 0.05
"""How soon a worker looks again after a turn that did something, but found its queues empty."""


class Call(Enum):
    """What others ask of a worker."""

    LOOK = "look"
    STOP = "stop"


class Desk:
    """Takes in what has ended, trades it for new claims, and starts these. For the main thread of a worker."""

    def __init__(
        self, leases: Leases, exchange: Exchange, observer: Observer, shutdown: Shutdown, concurrency: int
    ) -> None:
        """Nothing more is claimed as soon as a *shutdown* is wanted."""
        self._concurrency = concurrency
        self._leases = leases
        self._exchange = exchange
        self._observer = observer
        self._shutdown = shutdown
        self._inbox: SimpleQueue[Ended | Refused | Call] = SimpleQueue()
        self.executors = Executors(concurrency, observer.attempt_started, self._inbox.put)
        self._pace = Pace(concurrency)
        self.ended: list[Ended] = []
        """What is to be settled."""
        self._returns = Returns(exchange, observer)
        self._unknown = UnknownJobs(self._returns)
        self.look_at = 0.0
        """When to look for work again."""
        self.is_idle = False
        """Whether the last look has found nothing to do."""

    def call(self, call: Call) -> None:
        """Let the main thread wake up. Safe in any thread, and in signal handlers."""
        self._inbox.put(call)

    @property
    def next_look_at(self) -> float:
        """When to look for work again, if a slot is free."""
        return self.look_at if self._free_slots() > 0 else inf

    def collect(self, wake_at: float) -> None:
        """Wait until an attempt ends, somebody calls, or it is time to wake up; then take in all that has ended."""
        with suppress(Empty):
            self._take_in(self._inbox.get(timeout=max(0.0, wake_at - monotonic())))
        self._take_in_all()

    def trade(self) -> None:
        """Settle what has ended, claim what fits, and start that."""
        self._trade(self._wanted())

    def hand_back(self) -> None:
        """Release what this worker will not start, or not soon: others may be idle."""
        if self._pace.is_stalled() and (waiting := self.executors.take_back()):
            self._pace.reset()
            self._returns.add(waiting)
        for ended in self._unknown.put_back():
            self._take_in(ended)
        if self._returns.hand_back():
            self.is_idle, self.look_at = False, 0.0

    def take_back(self) -> int:
        """Hand back, with the next turn, what waits for a slot; answer how many attempts run on."""
        waiting = self.executors.take_back()
        self._returns.add(waiting)
        return self._running() - len(waiting)

    def clear(self) -> None:
        """Let no run be ours any more, but those that somebody has locked."""
        self._exchange.expect_locks()
        self._take_in_all()
        self.hand_back()
        self._trade(0)
        locked = self._returns.refs.union(attempt.ref for attempt in self.ended)
        if running := [lease for lease in self._leases.all() if lease.claim.ref not in locked]:
            self._observer.attempts_settled(self._exchange.abandon(running))

    def _take_in_all(self) -> None:
        with suppress(Empty):
            while True:
                self._take_in(self._inbox.get_nowait())

    def _take_in(self, ended: Ended | Refused | Call) -> None:
        match ended:
            case Ended():
                self._leases.note_end(ended.ref)
                self.ended.append(ended)
                self._pace.add(ended)
            case Refused(claim, delay_seconds):
                self._returns.add([claim], delay_seconds)
            case Call.LOOK:
                self.look_at = 0.0

    def _free_slots(self) -> int:
        """How many runs to claim: for the free slots, and a few ahead while attempts are short."""
        return 0 if self._shutdown.wanted else self._slots() + self._pace.ahead() - self._running()

    def _slots(self) -> int:
        """How many attempts may run at once: fewer, the more slots have leaked."""
        return self._concurrency - self.executors.leaked

    def _running(self) -> int:
        """How many runs are held for an attempt that has not ended."""
        return len(self._leases) - len(self.ended)

    def _wanted(self) -> int:
        """How many runs to claim in this turn: none before it is time to look, unless there is a trade anyway."""
        return self._free_slots() if self.ended or monotonic() >= self.look_at else 0

    def _trade(self, wanted: int) -> None:
        if not self.ended and wanted <= 0:
            return
        if self._running() == 0:
            self._pace.begin()
        begun, slots = monotonic(), min(wanted, max(0, self._slots() - self._running()))
        trade = self._exchange.trade(self.ended, slots, ahead=wanted - slots)
        self.ended = trade.left
        self._observer.attempts_settled(trade.settled)  # before a run of them that was claimed again starts
        self._start(trade.leases)
        self.is_idle = wanted > 0 and not trade.leases and not trade.more
        busy = bool(trade.settled or trade.leases)
        self.look_at = monotonic() + (0.0 if trade.more else self._pause(begun, busy=busy))

    def _pause(self, looked_at: float, *, busy: bool) -> float:
        """Seconds until the next look for work, when the last one, at *looked_at*, found all there was."""
        if busy:
            return BUSY_LOOK_SECONDS
        due = self._exchange.seconds_until_due(looked_at)
        return inf if due is None else max(0.0, due)  # maintenance looks out

    def _start(self, leases: Sequence[Lease]) -> None:
        assignments = []
        for lease in leases:
            if (job := known_job(lease.claim)) is None:
                self._unknown.add(lease.claim)
                continue
            if job.needs_context:
                lease.notes = Notes(lease.claim.metadata)
            assignments.append(Assignment(lease.claim, job, lease.notes, lease))
        self.executors.submit(assignments)
