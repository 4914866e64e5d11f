"""What every executor offers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from django_jobqueue.engines.base import Ref
from django_jobqueue.worker.assignment import Assignment
from django_jobqueue.worker.runner import Ended, Refused

OnEnded: TypeAlias = Callable[[Ended | Refused], None]
"""Is told what an attempt came to, whose slot is free now."""
HandOver: TypeAlias = Callable[[Ended | Refused], Assignment | None]
"""Is told what an attempt came to, and answers with one that takes its slot, in its executor. None: nothing was told."""


class Executor(Protocol):
    """Runs what it is given at once, and tells when it has ended."""

    def start(self, assignment: Assignment) -> None:
        """Start an attempt, in another thread than the caller's. Raises RuntimeError, where the system lets us start none."""

    def interrupt(self, ref: Ref, why: str) -> None:
        """Interrupt the job of an attempt, if it still runs and can be interrupted. Callable from any thread."""

    def close(self, seconds: float) -> None:
        """Start nothing more. Wait for so long for the threads to end; those that do not end with the process."""


def nobody_waits(_: Ended | Refused) -> None:
    """The ``HandOver`` of an executor that gets one attempt at a time."""
