"""Announcers: they send the events of a worker; one of them without holding the worker up."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from queue import SimpleQueue
from typing import TypedDict

from django.utils import timezone

from django_jobqueue import signals
from django_jobqueue.conf import get_config
from django_jobqueue.engines.base import Claim, LostRun, Settlement
from django_jobqueue.signals import (
    Event,
    RunCancelled,
    RunCompleted,
    RunDeadLettered,
    RunFailed,
    RunRetrying,
    RunStarted,
)
from django_jobqueue.states import Outcome, Reason, State
from django_jobqueue.worker import connections
from django_jobqueue.worker.observer import Observer
from django_jobqueue.worker.runner import Ended

logger = logging.getLogger(__name__)

MOST = 100_000
"""Events that may wait for slow receivers; what comes then is dropped."""

ENDINGS = (RunCompleted, RunRetrying, RunFailed, RunDeadLettered, RunCancelled)


class Announcer(Observer):
    """Sends events of what becomes of runs, in the thread in which it learns of that."""

    def __init__(self, worker: str = "") -> None:
        self._namespace = get_config().namespace
        self._worker = worker

    def started(self, name: str, queues: Mapping[str, int | None], concurrency: int) -> None:
        self._worker = name

    def attempt_started(self, claim: Claim) -> None:
        if signals.heard(RunStarted):
            about = _about(claim, self._namespace)
            self.send([RunStarted(**about, worker=self._worker, run_at=claim.run_at)])

    def attempts_settled(self, settled: Sequence[tuple[Ended, State]]) -> None:
        if settled and signals.heard(*ENDINGS):
            for ended, state in settled:
                about = _about(ended.claim, self._namespace)
                self.send(_ending(about, ended.settlement, state, worker=self._worker, seconds=ended.seconds))

    def cancelled(self, claims: Sequence[Claim]) -> None:
        if claims and signals.heard(RunCancelled):
            self.send(RunCancelled(**_about(claim, self._namespace)) for claim in claims)

    def reaped(self, lost: LostRun, settlement: Settlement, state: State) -> None:
        if signals.heard(*ENDINGS):
            self.send(_ending(_about(lost, self._namespace), settlement, state, worker=lost.worker))

    def send(self, events: Iterable[Event]) -> None:
        """Send *events*. Callable from any thread."""
        signals.send(events)


class BackgroundAnnouncer(Announcer):
    """Sends events one after the other, in a thread of its own that begins with the first.

    What the worker's main thread sends by itself, such as the news of a run that a schedule adds, is sent there too.
    """

    def __init__(self) -> None:
        super().__init__()
        self._events: SimpleQueue[Event | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._dropped = 0

    def started(self, name: str, queues: Mapping[str, int | None], concurrency: int) -> None:
        super().started(name, queues, concurrency)
        signals.carry(self.send)

    def leaving(self, seconds: float) -> None:
        signals.carry(None)
        if self._thread is None:
            return
        self._events.put(None)
        self._thread.join(seconds)
        if self._thread.is_alive():
            logger.warning("The worker ends before all receivers were told: %d events are lost.", self._events.qsize())

    def send(self, events: Iterable[Event]) -> None:
        """Send *events* soon. Callable from any thread."""
        if self._thread is None:
            self._begin()
        for event in events:
            if self._events.qsize() < MOST:
                self._events.put(event)
                continue
            if self._dropped % MOST == 0:
                logger.error("Receivers of events are too slow: %d wait, and further ones are dropped.", MOST)
            self._dropped += 1

    def _begin(self) -> None:
        with self._starting:
            if self._thread is None:
                # A daemon: a receiver that never returns must not keep the process from ending.
                self._thread = threading.Thread(target=self._work, name="jobqueue-announcer", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while (event := self._events.get()) is not None:
            connections.tidy()
            try:
                signals.send([event])
            except BaseException:
                logger.exception("A receiver of %s failed.", event.key)
            connections.tidy()
        connections.close_all()


class About(TypedDict):
    """What every event says of its run."""

    namespace: str
    run_id: int
    queue: str
    job: str
    attempt: int


class Facts(About):
    """What an event says beside, where an attempt has ended."""

    state: State
    worker: str
    outcome: Outcome
    error: str | None
    seconds: float | None


def _about(run: Claim | LostRun, namespace: str) -> About:
    return {"namespace": namespace, "run_id": run.id, "queue": run.queue, "job": run.job, "attempt": run.attempt}


def _ending(
    about: About, settlement: Settlement, state: State, *, worker: str, seconds: float | None = None
) -> Iterator[Event]:
    """What there is to tell of an attempt that has ended: nothing, where its run was only put off."""
    reason = _reason(settlement, state)
    if state == State.CANCELLED:
        yield RunCancelled(**about, reason=reason, worker=worker)
        return
    ended: Facts = {
        **about,
        "state": state,
        "worker": worker,
        "outcome": settlement.outcome,
        "error": settlement.error,
        "seconds": seconds,
    }
    if state == State.COMPLETED:
        yield RunCompleted(**ended)
    elif state == State.PENDING and settlement.outcome not in (Outcome.SNOOZED, Outcome.RELEASED):
        yield RunRetrying(**ended, run_at=_due(settlement))
    elif state in (State.FAILED, State.DEAD_LETTERED):
        yield RunFailed(**ended, reason=reason)
        if state == State.DEAD_LETTERED:
            yield RunDeadLettered(**ended, reason=reason)


def _reason(settlement: Settlement, state: State) -> Reason:
    """Why the run has ended: if not in the way of its attempt, because it was asked to cancel."""
    if settlement.state != state or settlement.reason is None:
        return Reason.CANCELLED
    return settlement.reason


def _due(settlement: Settlement) -> datetime:
    return (settlement.run_at or timezone.now()) + timedelta(seconds=settlement.delay_seconds)
