"""The worker: one process that claims runs, works them side by side, and settles how they ended.

Its main thread is a loop of turns. A turn writes what has ended and claims what fits into the free slots, in one
transaction; while it waits for the database more attempts end, and so the next turn finds a batch. Jobs never run in
this thread.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from enum import Enum
from itertools import count
from math import inf
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic, sleep
from typing import Protocol

from django_jobqueue.conf import get_config
from django_jobqueue.jobs import Notes
from django_jobqueue.transports.listener import Listener
from django_jobqueue.worker import connections
from django_jobqueue.worker.assignment import Assignment, known_job
from django_jobqueue.worker.connections import DATABASE_AWAY
from django_jobqueue.worker.enforcer import Enforcer
from django_jobqueue.worker.exchange import Exchange
from django_jobqueue.worker.executors.slots import Executors
from django_jobqueue.worker.exit_codes import EXIT_FORCED, EXIT_RECYCLE
from django_jobqueue.worker.heartbeat import Heartbeat
from django_jobqueue.worker.leases import Lease, Leases
from django_jobqueue.worker.liveness import LivenessFile
from django_jobqueue.worker.lock_waits import short_lock_waits
from django_jobqueue.worker.observer import Observer
from django_jobqueue.worker.outage import Outage, what_is_wrong
from django_jobqueue.worker.pace import Pace
from django_jobqueue.worker.prepared_statements import prepared_statements
from django_jobqueue.worker.returns import Returns
from django_jobqueue.worker.runner import Ended, Refused
from django_jobqueue.worker.self_fence import SelfFence
from django_jobqueue.worker.sessions import sessions_with
from django_jobqueue.worker.shutdown import Shutdown, nobody_ends_it
from django_jobqueue.worker.silence import short_silences
from django_jobqueue.worker.switches import quick_switches
from django_jobqueue.worker.unknown_jobs import UnknownJobs
from django_jobqueue.worker.watchdog import Watchdog

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 5.0
"""What idle threads get to close their connections; a database that does not answer must not keep the process from ending."""
LAST_TRIES = 2
"""To account for all runs: a connection may have broken, as the first one finds out."""
LAST_TRIES_SECONDS = 2.5
"""Until then there are more, for somebody may have locked a run for a moment; soon after, a ``Shutdown`` is broken off."""
LAST_PAUSE_SECONDS = 0.25
BUSY_LOOK_SECONDS = 0.05
"""How soon a worker looks again after a turn that did something, but found its queues empty."""


class Chores(Protocol):
    """What the worker does in turn for all workers; see ``Maintenance``."""

    @property
    def due_at(self) -> float: ...

    def turn(self, ours: Leases) -> bool: ...


class Call(Enum):
    """What others ask of a worker."""

    LOOK = "look"
    STOP = "stop"


class Worker:
    """Works *queues* until it is stopped, or, if told to *drain*, until nothing can be claimed."""

    def __init__(
        self,
        queues: Sequence[str],
        *,
        chores: Chores,
        observer: Observer,
        concurrency: int | None = None,
        slots: Mapping[str, int] | None = None,
        strict: bool = False,
        grace_seconds: float | None = None,
        drain: bool = False,
        liveness_file: Path | None = None,
        break_off: Callable[[], None] = nobody_ends_it,
    ) -> None:
        """*Break_off* is called where it cannot stop in time, because the database says nothing."""
        self._config = get_config()
        self.name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self.queues = {queue: (slots or {}).get(queue) for queue in queues}
        """Each with the slots that it may hold at most."""
        self.concurrency = concurrency or self._config.worker.concurrency
        self._drain = drain
        self._chores = chores
        self._observer = observer

        self._liveness = LivenessFile(liveness_file)
        self._leases = Leases()
        self._exchange = Exchange(self.name, queues, self._leases, slots=slots, strict=strict)
        self._inbox: SimpleQueue[Ended | Refused | Call] = SimpleQueue()
        self._executors = Executors(self.concurrency, observer.attempt_started, self._inbox.put)
        self._pace = Pace(self.concurrency)
        self._outage = Outage()
        grace_seconds = self._config.worker.grace_seconds if grace_seconds is None else grace_seconds
        self._shutdown = Shutdown(grace_seconds, break_off)

        self._ended: list[Ended] = []
        """What is to be settled."""
        self._returns = Returns(self._exchange, observer)
        self._unknown = UnknownJobs(self._returns)
        self._look_at = 0.0
        """When to look for work again."""
        self._idle = False

    def run(self) -> int:
        """Work; return the exit code of the process. Call it once."""
        self._observer.started(self.name, self.queues, self.concurrency)
        heartbeat = Heartbeat(
            self.name,
            self._leases,
            queues=self.queues,
            concurrency=self.concurrency,
            interrupt=self._executors.interrupt,
            prepare=self._executors.prepare,
        )
        watchdog = Watchdog(
            SelfFence(self._leases, self._executors.interrupt, self._exchange.known_rules).look,
            Enforcer(self._leases, self._executors.kill_attempt).look,
            self._executors.look,
            self._shutdown.look,
        )
        listener = nullcontext() if self._drain else Listener(list(self.queues), self.wake, heartbeat.hurry)
        sessions = sessions_with(prepared_statements, short_silences, short_lock_waits)
        with quick_switches(), sessions, watchdog, heartbeat, listener:
            try:
                while not self._is_over():
                    self._turn()
            finally:  # an error of our own costs no run a crash
                code = self._leave()
            return code

    def stop(self) -> None:
        """Ask the worker to stop: within its grace at the first call, at once at the second. Safe in signal handlers."""
        self._shutdown.ask()
        self._inbox.put(Call.STOP)

    def seconds_left(self) -> float:
        """How long the process may still take that this worker has worked in, for what its jobs have left behind."""
        return self._shutdown.seconds_left()

    def wake(self) -> None:
        """Have the worker look for work now, if it has a free slot. Safe in any thread."""
        self._inbox.put(Call.LOOK)

    def _turn(self) -> None:
        self._liveness.touch()
        self._collect()
        if not self._shutdown.wanted and self._executors.leaked >= self._most_leaks():
            self._recycle()
        if self._shutdown.wanted and not self._shutdown.has_begun:
            self._begin_to_stop()
        if monotonic() < self._outage.next_try_at:
            return
        try:
            if self._outage.lasts:
                self._exchange.release_unheard()
            if self._chores.turn(self._leases):
                self._look_at = monotonic()
            self._hand_back()
            self._trade(self._wanted())
        except DATABASE_AWAY as error:
            connections.close_all()
            self._outage.go_on(error, kept=len(self._ended))
        else:
            self._outage.end()

    def _collect(self) -> None:
        """Wait until an attempt ends, something is due, or somebody calls; then take in all that has ended."""
        with suppress(Empty):
            self._take_in(self._inbox.get(timeout=max(0.0, self._wake_at() - monotonic())))
        self._take_in_all()

    def _wake_at(self) -> float:
        wake_at = self._chores.due_at
        if self._free_slots() > 0:
            wake_at = min(wake_at, self._look_at)
        wake_at = max(wake_at, self._outage.next_try_at)
        return wake_at if self._shutdown.deadline is None else min(wake_at, self._shutdown.deadline)

    def _take_in_all(self) -> None:
        with suppress(Empty):
            while True:
                self._take_in(self._inbox.get_nowait())

    def _take_in(self, ended: Ended | Refused | Call) -> None:
        match ended:
            case Ended():
                self._leases.note_end(ended.ref)
                self._ended.append(ended)
                self._pace.add(ended)
            case Refused(claim, delay_seconds):
                self._returns.add([claim], delay_seconds)
            case Call.LOOK:
                self._look_at = 0.0

    def _free_slots(self) -> int:
        """How many runs to claim: for the free slots, and a few ahead while attempts are short."""
        return 0 if self._shutdown.wanted else self._slots() + self._pace.ahead() - self._running()

    def _slots(self) -> int:
        """How many attempts may run at once: fewer, the more slots have leaked."""
        return self.concurrency - self._executors.leaked

    def _most_leaks(self) -> int:
        """How many slots may leak before this process has to end."""
        return min(self._config.worker.recycle_after_leaks, self.concurrency)

    def _running(self) -> int:
        """How many runs are held for an attempt that has not ended."""
        return len(self._leases) - len(self._ended)

    def _wanted(self) -> int:
        """How many runs to claim in this turn: none before it is time to look, unless there is a trade anyway."""
        return self._free_slots() if self._ended or monotonic() >= self._look_at else 0

    def _trade(self, wanted: int) -> None:
        if not self._ended and wanted <= 0:
            return
        if self._running() == 0:
            self._pace.begin()
        begun, slots = monotonic(), min(wanted, max(0, self._slots() - self._running()))
        trade = self._exchange.trade(self._ended, slots, ahead=wanted - slots)
        self._ended = trade.left
        self._observer.attempts_settled(trade.settled)  # before a run of them that was claimed again starts
        self._start(trade.leases)
        self._idle = wanted > 0 and not trade.leases and not trade.more
        busy = bool(trade.settled or trade.leases)
        self._look_at = monotonic() + (0.0 if trade.more else self._pause(begun, busy=busy))

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
        self._executors.submit(assignments)

    def _hand_back(self) -> None:
        """Release what this worker will not start, or not soon: others may be idle."""
        if self._pace.is_stalled() and (waiting := self._executors.take_back()):
            self._pace.reset()
            self._returns.add(waiting)
        for ended in self._unknown.put_back():
            self._take_in(ended)
        if self._returns.hand_back():
            self._idle, self._look_at = False, 0.0

    def _recycle(self) -> None:
        self._shutdown.recycle()
        logger.error(
            "%d of %d slots are taken by attempts that were cut off: this worker ends with exit code %d, to be started anew.",
            *(self._executors.leaked, self.concurrency, EXIT_RECYCLE),
        )

    def _begin_to_stop(self) -> None:
        self._shutdown.begin()
        waiting = self._executors.take_back()
        self._returns.add(waiting)
        self._observer.stopping(self._running() - len(waiting), self._shutdown.grace_seconds)

    def _is_over(self) -> bool:
        if not self._shutdown.wanted:
            return self._drain and self._idle and not self._leases
        return self._shutdown.forced or not self._leases or self._shutdown.overdue

    def _leave(self) -> int:
        """Settle what has ended, and hand back what has not; answer with the exit code."""
        self._returns.add(self._executors.take_back())
        self._executors.kill()  # first: a child may be in a transaction that keeps us from writing
        code = self._shutdown.exit_code
        if not self._account_for_all():
            logger.error("%d runs are left to the reapers.", len(self._leases))
            code = EXIT_FORCED
        self._observer.leaving(self._shutdown.seconds_left())
        self._executors.close(min(CLOSE_SECONDS, self._shutdown.seconds_left()))
        connections.close_all()
        self._liveness.remove()
        return code

    def _account_for_all(self) -> bool:
        """Let no run be ours any more; answer whether that is so."""
        until = monotonic() + LAST_TRIES_SECONDS
        for tries in count(1):
            self._try_to_account()
            if not self._leases or (tries >= LAST_TRIES and monotonic() > until):
                break
            sleep(LAST_PAUSE_SECONDS)
        return not self._leases

    def _try_to_account(self) -> None:
        try:
            self._exchange.expect_locks()
            self._take_in_all()
            self._hand_back()
            self._trade(0)
            ended = {attempt.ref for attempt in self._ended}
            if running := [lease for lease in self._leases.all() if lease.claim.ref not in ended]:
                self._observer.attempts_settled(self._exchange.abandon(running))
        except DATABASE_AWAY as error:
            logger.error("%s: %s", what_is_wrong(error), error)
            connections.close_all()
