"""What a worker tells those who watch it."""

from __future__ import annotations

from collections.abc import Sequence

from django_jobqueue.engines.base import LostRun, Settlement
from django_jobqueue.states import State
from django_jobqueue.worker.runner import Ended


class Observer:
    """Is called in the worker's main thread, after the fact was committed. Does nothing; a face shows what it wants."""

    def started(self, name: str, queues: Sequence[str], concurrency: int) -> None:
        """The worker *name* is about to claim."""

    def stopping(self, running: int, grace_seconds: float) -> None:
        """The worker was asked to stop while so many attempts run."""

    def ended(self, ended: Ended, state: State) -> None:
        """An attempt was settled; its run is now in *state*."""

    def reaped(self, lost: LostRun, settlement: Settlement, state: State) -> None:
        """A run was taken from a worker that vanished."""
