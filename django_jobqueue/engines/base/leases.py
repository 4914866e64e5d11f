"""What is written of runs while they are ours."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from typing import NamedTuple

from django_jobqueue.engines.base.database import Database
from django_jobqueue.engines.base.ref import Ref
from django_jobqueue.states import State


class Note(NamedTuple):
    """What a job says of its run while it runs."""

    id: int
    attempt: int
    progress: str | None = None
    metadata: str | None = None
    """JSON text; None leaves what is there."""

    @property
    def ref(self) -> Ref:
        return Ref(self.id, self.attempt)


class Leases(Database):
    """How a worker keeps its runs, and hands them back."""

    @abstractmethod
    def renew(self, leases: Sequence[tuple[Ref, float]]) -> dict[Ref, bool]:
        """Let the leases end so many seconds from now; for those still ours, say whether a cancel is requested."""

    @abstractmethod
    def note(self, notes: Sequence[Note]) -> set[Ref]:
        """Write what running jobs say of their runs; answer which of them were still ours, and could be written."""

    def hold_free(self, refs: Sequence[Ref]) -> Collection[Ref]:
        """Lock those of *refs* that are still ours, and that nobody else has locked; answer which these are."""
        return refs

    @abstractmethod
    def release(
        self, refs: Sequence[Ref], *, delay_seconds: float | None = None, unknown: bool = False
    ) -> dict[Ref, State]:
        """Hand runs back of which no user code ran; no Attempt is written. Cancels and answers as ``settle`` does.

        They are due in *delay_seconds*; where none are given, they have their old place in the line.
        *Unknown* ones keep the moment since when they are; handed back for another reason, or settled, they forget it.
        """
