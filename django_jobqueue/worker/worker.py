"""The worker: one process that claims runs, works them side by side, and settles how they ended.

Its main thread is a loop of turns. A turn writes what has ended and claims what fits into the free slots, in one
transaction; while it waits for the database more attempts end, and so the next turn finds a batch. Jobs never run in
this thread.
"""

from __future__ import annotations

import logging
import os
import random
import secrets
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Protocol

from django_jobqueue.conf import get_config
from django_jobqueue.engines.base import Claim, Settlement
from django_jobqueue.errors import JobQueueError
from django_jobqueue.jobs import JobDefinition, registry
from django_jobqueue.states import Outcome, Reason, State
from django_jobqueue.worker import connections
from django_jobqueue.worker.assignment import Assignment
from django_jobqueue.worker.connections import DATABASE_AWAY
from django_jobqueue.worker.exchange import Exchange
from django_jobqueue.worker.executors.slots import Executors
from django_jobqueue.worker.heartbeat import Heartbeat
from django_jobqueue.worker.leases import Leases
from django_jobqueue.worker.liveness import LivenessFile
from django_jobqueue.worker.observer import Observer
from django_jobqueue.worker.pace import Pace
from django_jobqueue.worker.runner import Ended, Refused
from django_jobqueue.worker.self_fence import SelfFence
from django_jobqueue.worker.watchdog import Watchdog

logger = logging.getLogger(__name__)

EXIT_DRAINED = 0
EXIT_FORCED = 3
EXIT_RECYCLE = 75

UNKNOWN_JOB_DELAY_SECONDS = 30.0
"""How long a run whose job this release does not know is left to workers of another release."""
UNKNOWN_JOB_SECONDS = 3600.0
"""For how long every worker that claims it may not know its job, before it ends as failed."""

LAST_SECONDS = 1.0
"""What observers get to come to their end, even where the grace is over."""

BUSY_LOOK_SECONDS = 0.05
"""How soon a worker looks again after a turn that did something, but found its queues empty."""


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
    ) -> None:
        self._config = get_config()
        self.name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self.queues = {queue: (slots or {}).get(queue) for queue in queues}
        """Each with the slots that it may hold at most."""
        self.concurrency = concurrency or self._config.worker.concurrency
        self._grace_seconds = self._config.worker.grace_seconds if grace_seconds is None else grace_seconds
        self._drain = drain
        self._chores = chores
        self._observer = observer

        self._liveness = LivenessFile(liveness_file)
        self._leases = Leases()
        self._exchange = Exchange(self.name, queues, self._leases, slots=slots, strict=strict)
        self._inbox: SimpleQueue[Ended | Refused | None] = SimpleQueue()
        self._executors = Executors(self.concurrency, observer.attempt_started, self._inbox.put)
        self._pace = Pace(self.concurrency)

        self._ended: list[Ended] = []
        """What is to be settled."""
        self._refused: dict[float, list[Claim]] = {}
        """What is to be released, by the seconds for which."""
        self._unknown: list[Claim] = []
        """What this release cannot work."""
        self._look_at = 0.0
        """When to look for work again."""
        self._database_at = 0.0
        """When to turn to a database again that did not answer, and how often it has not."""
        self._database_failures = 0
        self._idle = False
        self._stops = 0
        self._recycling = False
        self._deadline: float | None = None

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
        with Watchdog(SelfFence(self._leases, self._executors.interrupt).look, self._executors.look), heartbeat:
            while not self._is_over():
                self._turn()
            return self._leave()

    def stop(self) -> None:
        """Ask the worker to stop: within its grace at the first call, at once at the second. Safe in signal handlers."""
        self._stops += 1
        self._inbox.put(None)

    def _turn(self) -> None:
        self._liveness.touch()
        self._collect()
        if not self._stopping and self._executors.leaked >= self._most_leaks():
            self._recycle()
        if self._stopping and self._deadline is None:
            self._begin_to_stop()
        if monotonic() < self._database_at:
            return
        try:
            if self._database_failures:
                self._exchange.release_unheard()
            if self._chores.turn(self._leases):
                self._look_at = monotonic()
            self._hand_back()
            self._trade(self._wanted())
        except DATABASE_AWAY as error:
            self._wait_for_database(error)
        else:
            self._database_failures = 0

    def _collect(self) -> None:
        """Wait until an attempt ends, something is due, or somebody calls; then take in all that has ended."""
        with suppress(Empty):
            self._take_in(self._inbox.get(timeout=max(0.0, self._wake_at() - monotonic())))
        self._take_in_all()

    def _wake_at(self) -> float:
        wake_at = self._chores.due_at
        if self._free_slots() > 0:
            wake_at = min(wake_at, self._look_at)
        wake_at = max(wake_at, self._database_at)
        return wake_at if self._deadline is None else min(wake_at, self._deadline)

    def _take_in_all(self) -> None:
        with suppress(Empty):
            while True:
                self._take_in(self._inbox.get_nowait())

    def _take_in(self, ended: Ended | Refused | None) -> None:
        match ended:
            case Ended():
                self._ended.append(ended)
                self._pace.add(ended)
            case Refused(claim, delay_seconds):
                self._refuse([claim], delay_seconds)

    def _refuse(self, claims: Sequence[Claim], delay_seconds: float = 0.0) -> None:
        """Hand *claims* back with the next turn."""
        if claims:
            self._refused.setdefault(delay_seconds, []).extend(claims)

    def _free_slots(self) -> int:
        """How many runs to claim: for the free slots, and a few ahead while attempts are short."""
        return 0 if self._stopping else self._slots() + self._pace.ahead() - self._running()

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
        self._ended = []
        self._observer.attempts_settled(trade.settled)  # before a run of them that was claimed again starts
        self._start(trade.claims)
        self._idle = wanted > 0 and not trade.claims and not trade.more
        busy = bool(trade.settled or trade.claims)
        self._look_at = monotonic() + (0.0 if trade.more else self._pause(begun, busy=busy))

    def _pause(self, looked_at: float, *, busy: bool) -> float:
        """Seconds until the next look for work, when the last one, at *looked_at*, found all there was."""
        if busy:
            return BUSY_LOOK_SECONDS
        poll = self._config.worker.poll_seconds * random.uniform(0.9, 1.1)
        due = self._exchange.seconds_until_due()
        if due is None or due <= looked_at - monotonic():  # what was due already is not to be had
            return poll
        return min(max(0.0, due), poll)

    def _start(self, claims: Sequence[Claim]) -> None:
        for claim in claims:
            job = _definition(claim)
            if job is not None and claim.version <= job.options.version:
                notes = self._leases.open_notes(claim) if job.needs_context else None
                self._executors.submit(Assignment(claim, job, notes))
            else:
                self._unknown.append(claim)

    def _hand_back(self) -> None:
        """Release what this worker will not start, or not soon: others may be idle."""
        if self._pace.is_stalled() and (waiting := self._executors.take_back()):
            self._pace.reset()
            self._refuse(waiting)
        if self._unknown:
            self._put_back_unknown()
        for delay_seconds, claims in list(self._refused.items()):
            self._observer.cancelled(self._exchange.release(claims, delay_seconds))
            del self._refused[delay_seconds]

    def _put_back_unknown(self) -> None:
        """Leave what this release cannot work to workers of another one; give up what none has known for an hour."""
        given_up = self._exchange.unknown_for(self._unknown, UNKNOWN_JOB_SECONDS)
        waiting = [claim for claim in self._unknown if claim not in given_up]
        if waiting:
            names = sorted({f"{claim.queue}.{claim.job}@{claim.version}" for claim in waiting})
            logger.warning("Not known here, and left to workers of another release: %s.", ", ".join(names))
            self._observer.cancelled(self._exchange.release(waiting, UNKNOWN_JOB_DELAY_SECONDS, unknown=True))
        self._unknown = []
        for claim in given_up:
            self._take_in(_never_known(claim))

    def _wait_for_database(self, error: Exception) -> None:
        connections.close_all()
        self._database_failures += 1
        seconds = min(5.0, 0.1 * 2 ** min(self._database_failures, 10)) * random.uniform(0.5, 1.0)
        self._database_at = monotonic() + seconds
        logger.warning(
            "The database does not answer. %d results are kept; next try in %.1f s: %s",
            *(len(self._ended), seconds, error),
        )

    @property
    def _stopping(self) -> bool:
        return self._stops > 0 or self._recycling

    def _recycle(self) -> None:
        self._recycling = True
        logger.error(
            "%d of %d slots are taken by attempts that were cut off: this worker ends with exit code %d, to be started anew.",
            *(self._executors.leaked, self.concurrency, EXIT_RECYCLE),
        )

    def _begin_to_stop(self) -> None:
        self._deadline = monotonic() + self._grace_seconds
        waiting = self._executors.take_back()
        self._refuse(waiting)
        self._observer.stopping(self._running() - len(waiting), self._grace_seconds)

    def _is_over(self) -> bool:
        if not self._stopping:
            return self._drain and self._idle and not self._leases
        return self._stops > 1 or not self._leases or (self._deadline is not None and monotonic() >= self._deadline)

    def _leave(self) -> int:
        """Settle what has ended, and hand back what has not."""
        code = EXIT_RECYCLE if self._recycling else EXIT_DRAINED
        if self._stops > 1:
            code = EXIT_FORCED
        try:
            self._refuse(self._executors.take_back())
            self._take_in_all()
            self._hand_back()
            self._trade(0)
            self._executors.kill()
            if running := self._leases.all():
                self._observer.attempts_settled(self._exchange.abandon(running))
        except DATABASE_AWAY:
            logger.exception("The database does not answer. %d runs are left to the reapers.", len(self._leases))
            code = EXIT_FORCED
        self._observer.leaving(self._seconds_left())
        self._executors.close()
        connections.close_all()
        self._liveness.remove()
        return code

    def _seconds_left(self) -> float:
        """How long the rest may take: what is left of the grace, but at least a moment."""
        if self._stops > 1:
            return LAST_SECONDS
        deadline = self._deadline or monotonic() + self._grace_seconds
        return max(LAST_SECONDS, deadline - monotonic())


def _definition(claim: Claim) -> JobDefinition | None:
    """The job of *claim*, if this release has it and it can work."""
    try:
        return registry.find(claim.queue, claim.job)
    except JobQueueError:
        logger.exception("Job %s.%s cannot work.", claim.queue, claim.job)
        return None


def _never_known(claim: Claim) -> Ended:
    settlement = Settlement(
        *claim.ref,
        outcome=Outcome.FAILED,
        state=State.FAILED,
        reason=Reason.UNKNOWN_JOB,
        counter="failures",
        error=f"No release could work job {claim.job!r} of queue {claim.queue!r} in version {claim.version} for an hour.",
    )
    return Ended(claim, settlement)
