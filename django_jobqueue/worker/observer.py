"""What a worker tells those who watch it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django_jobqueue.engines.base import Claim, LostRun, Settlement
from django_jobqueue.states import State
from django_jobqueue.worker.runner import Ended


class Observer:
    """Is called in the worker's main thread, after the fact was committed. Does nothing; who observes does what it will."""

    def started(self, name: str, queues: Mapping[str, int | None], concurrency: int) -> None:
        """The worker *name* is about to claim from *queues*, each with the slots that it may hold at most."""

    def stopping(self, running: int, grace_seconds: float) -> None:
        """The worker was asked to stop while so many attempts run."""

    def attempt_started(self, claim: Claim) -> None:
        """An attempt starts. Called in any thread."""

    def attempts_settled(self, settled: Sequence[tuple[Ended, State]]) -> None:
        """Attempts were settled together; each run is now in the state beside it."""
        for ended, state in settled:
            self.ended(ended, state)

    def ended(self, ended: Ended, state: State) -> None:
        """An attempt was settled; its run is now in *state*."""

    def cancelled(self, claims: Sequence[Claim]) -> None:
        """Runs that this worker would have handed back were cancelled instead, without an attempt."""

    def reaped(self, lost: LostRun, settlement: Settlement, state: State) -> None:
        """A run was taken from a worker that vanished."""

    def leaving(self, seconds: float) -> None:
        """All is settled, and in so many seconds the process may end."""


class Observers(Observer):
    """Passes on to each of several observers what it is told."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def started(self, name: str, queues: Mapping[str, int | None], concurrency: int) -> None:
        for observer in self._observers:
            observer.started(name, queues, concurrency)

    def stopping(self, running: int, grace_seconds: float) -> None:
        for observer in self._observers:
            observer.stopping(running, grace_seconds)

    def attempt_started(self, claim: Claim) -> None:
        for observer in self._observers:
            observer.attempt_started(claim)

    def attempts_settled(self, settled: Sequence[tuple[Ended, State]]) -> None:
        for observer in self._observers:
            observer.attempts_settled(settled)

    def cancelled(self, claims: Sequence[Claim]) -> None:
        for observer in self._observers:
            observer.cancelled(claims)

    def reaped(self, lost: LostRun, settlement: Settlement, state: State) -> None:
        for observer in self._observers:
            observer.reaped(lost, settlement, state)

    def leaving(self, seconds: float) -> None:
        for observer in self._observers:
            observer.leaving(seconds)
