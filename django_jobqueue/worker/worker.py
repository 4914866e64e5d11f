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
from contextlib import nullcontext
from itertools import count
from pathlib import Path
from time import monotonic, sleep
from typing import Protocol

from django_jobqueue.conf import get_config
from django_jobqueue.transports.listener import Listener
from django_jobqueue.worker import connections
from django_jobqueue.worker.connections import DATABASE_AWAY
from django_jobqueue.worker.desk import Call, Desk
from django_jobqueue.worker.enforcer import Enforcer
from django_jobqueue.worker.exchange import Exchange
from django_jobqueue.worker.exit_codes import EXIT_FORCED, EXIT_RECYCLE
from django_jobqueue.worker.heartbeat import Heartbeat
from django_jobqueue.worker.leases import Leases
from django_jobqueue.worker.liveness import LivenessFile
from django_jobqueue.worker.lock_waits import short_lock_waits
from django_jobqueue.worker.observer import Observer
from django_jobqueue.worker.outage import Outage, what_is_wrong
from django_jobqueue.worker.prepared_statements import prepared_statements
from django_jobqueue.worker.self_fence import SelfFence
from django_jobqueue.worker.sessions import sessions_with
from django_jobqueue.worker.shutdown import Shutdown, nobody_ends_it
from django_jobqueue.worker.silence import short_silences
from django_jobqueue.worker.switches import quick_switches
from django_jobqueue.worker.watchdog import Watchdog

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 5.0
"""What idle threads get to close their connections; a database that does not answer must not keep the process from ending."""
LAST_TRIES = 2
"""To account for all runs: a connection may have broken, as the first one finds out."""
LAST_TRIES_SECONDS = 2.5
"""Until then there are more, for somebody may have locked a run for a moment; soon after, a ``Shutdown`` is broken off."""
LAST_PAUSE_SECONDS = 0.25


class Chores(Protocol):
    """What the worker does in turn for all workers; see ``Maintenance``."""

    @property
    def due_at(self) -> float: ...

    def turn(self, ours: Leases) -> bool: ...


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
        grace_seconds = self._config.worker.grace_seconds if grace_seconds is None else grace_seconds
        self._shutdown = Shutdown(grace_seconds, break_off)
        self._desk = Desk(self._leases, self._exchange, observer, self._shutdown, self.concurrency)
        self._executors = self._desk.executors
        self._outage = Outage()

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
        self._desk.call(Call.STOP)

    def seconds_left(self) -> float:
        """How long the process may still take that this worker has worked in, for what its jobs have left behind."""
        return self._shutdown.seconds_left()

    def wake(self) -> None:
        """Have the worker look for work now, if it has a free slot. Safe in any thread."""
        self._desk.call(Call.LOOK)

    def _turn(self) -> None:
        self._liveness.touch()
        self._desk.collect(self._wake_at())
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
                self._desk.look_at = monotonic()
            self._desk.hand_back()
            self._desk.trade()
        except DATABASE_AWAY as error:
            connections.close_all()
            self._outage.go_on(error, kept=len(self._desk.ended))
        else:
            self._outage.end()

    def _wake_at(self) -> float:
        wake_at = max(self._outage.next_try_at, min(self._chores.due_at, self._desk.next_look_at))
        return wake_at if self._shutdown.deadline is None else min(wake_at, self._shutdown.deadline)

    def _most_leaks(self) -> int:
        """How many slots may leak before this process has to end."""
        return min(self._config.worker.recycle_after_leaks, self.concurrency)

    def _recycle(self) -> None:
        self._shutdown.recycle()
        logger.error(
            "%d of %d slots are taken by attempts that were cut off: this worker ends with exit code %d, to be started anew.",
            *(self._executors.leaked, self.concurrency, EXIT_RECYCLE),
        )

    def _begin_to_stop(self) -> None:
        self._shutdown.begin()
        self._observer.stopping(self._desk.take_back(), self._shutdown.grace_seconds)

    def _is_over(self) -> bool:
        if not self._shutdown.wanted:
            return self._drain and self._desk.is_idle and not self._leases
        return self._shutdown.forced or not self._leases or self._shutdown.overdue

    def _leave(self) -> int:
        """Settle what has ended, and hand back what has not; answer with the exit code."""
        self._desk.take_back()
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
            self._desk.clear()
        except DATABASE_AWAY as error:
            logger.error("%s: %s", what_is_wrong(error), error)
            connections.close_all()
