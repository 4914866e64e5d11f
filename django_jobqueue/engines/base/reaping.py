"""Lost runs: those whose worker has let the lease end."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from django.db import transaction

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

    @property
    def ref(self) -> Ref:
        return Ref(self.id, self.attempt)


class Reaping(Settling):
    """How runs come back from workers that are gone."""

    def reap(
        self,
        namespace: str,
        decide: Callable[[LostRun], Settlement | None],
        *,
        limit: int = 100,
        but: Sequence[str] = (),
        then: Callable[[dict[Ref, State]], None] | None = None,
    ) -> list[tuple[LostRun, State]]:
        """Settle up to *limit* runs whose lease is over as *decide* says, unless they were renewed or taken since.

        Runs of the queues *but* are passed over. *decide* may answer None, to leave a run as it is. *then* is called
        with what was settled, in the transaction that settles.
        """
        lost = self._expired(namespace, limit, but)
        endings = [ending for run in lost if (ending := decide(run)) is not None]
        if not endings:
            return []
        with transaction.atomic(using=self.alias, savepoint=False):
            settled = self._settle(endings, expired=True)
            if then is not None:
                then(settled)
        return [(run, settled[run.ref]) for run in lost if run.ref in settled]

    @abstractmethod
    def _expired(self, namespace: str, limit: int, but: Sequence[str]) -> list[LostRun]:
        """Up to *limit* runs whose lease is over, longest first, without those of the queues *but*."""
