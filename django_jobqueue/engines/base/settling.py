"""Settlements: how attempts ended."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from typing import Literal

from django_jobqueue.engines.base.deleting import Deleting
from django_jobqueue.engines.base.ref import Ref
from django_jobqueue.states import Outcome, Reason, State

Counter = Literal["failures", "crashes", "snoozes", "releases"]


@dataclass(slots=True)
class Settlement:
    """How an attempt ended, and what becomes of its run."""

    ref: Ref
    _: KW_ONLY
    outcome: Outcome
    state: State
    reason: Reason | None = None
    """Given if, and only if, *state* is final."""
    counter: Counter | None = None
    """Which count of the run this attempt adds to."""
    run_at: datetime | None = None
    delay_seconds: float = 0.0
    """When a run that goes back to pending is due: *run_at*, or now, plus the delay."""
    result: str | None = field(default=None, repr=False)
    """JSON text."""
    error: str | None = None
    traceback: str | None = field(default=None, repr=False)
    progress: str | None = field(default=None, repr=False)
    metadata: str | None = field(default=None, repr=False)
    """JSON text of what the job has noted; None leaves what is there."""
    delete: bool = False
    """Whether the run goes, with all its attempts, instead of ending in *state*."""
    started: float | None = None
    finished: float | None = None
    """When the job was called, and returned, by ``time.monotonic()`` of this process; None: when claimed, and now."""


class Settling(Deleting):
    """How attempts end."""

    def settle(self, settlements: Sequence[Settlement]) -> dict[Ref, State]:
        """Write how attempts ended; answer with the state of each run that was still ours.

        A run that would go back to pending, or to the dead letter, but is asked to cancel, is cancelled. One that is to be deleted is gone. A
        missing ref means that the lease was lost, and nothing was written.
        """
        states = {settlement.ref: settlement.state for settlement in settlements if settlement.delete}
        if not states:
            return self._settle(settlements, expired=False)
        kept = [settlement for settlement in settlements if not settlement.delete]
        gone = {ref: states[ref] for ref in self._delete(list(states))}
        return self._settle(kept, expired=False) | gone

    @abstractmethod
    def _settle(self, settlements: Sequence[Settlement], *, expired: bool) -> dict[Ref, State]:
        """Settle runs that are kept; if *expired*, only those whose lease is over."""
