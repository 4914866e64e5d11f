"""Lost runs: those whose worker has let the lease end."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from django_jobqueue.engines.base.ref import Ref
from django_jobqueue.engines.base.settling import Settlement, Settling
from django_jobqueue.states import State


class LostRun(NamedTuple):
    """A running run whose lease is over, as a reaper found it."""

    id: int
    attempt: int
    queue: str
    job: str
    worker: str
    crashes: int
    delivery: str
    concurrency_key: str | None
    run_at: datetime
    """When it was due; not after now, even where the clock was put back."""
    locked: bool = False
    """Whether somebody writes to it just now, which keeps its worker from renewing the lease."""

    @property
    def ref(self) -> Ref:
        return Ref(self.id, self.attempt)


class Reaping(Settling):
    """How runs come back from workers that are gone."""

    @abstractmethod
    def lost(self, namespace: str, *, limit: int = 100, but: Sequence[str] = ()) -> list[LostRun]:
        """Up to *limit* runs whose lease is over, those for longest, without those of the queues *but*; in any order."""

    def reap(self, settlements: Sequence[Settlement]) -> dict[Ref, State]:
        """Settle lost runs, as ``settle`` does, unless they were renewed or taken since."""
        return self._settle(settlements, expired=True)
