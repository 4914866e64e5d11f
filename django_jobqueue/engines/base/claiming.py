"""Claims: the runs that a worker has taken."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from django_jobqueue.engines.base.database import Database
from django_jobqueue.engines.base.ref import Ref

if TYPE_CHECKING:
    from django_jobqueue.engines.base.bounds import Bounds


class Claim(NamedTuple):
    """A run that is ours until its lease ends: one row of the answer to a claim, in the order of these columns."""

    id: int
    attempt: int
    queue: str
    job: str
    version: int
    payload: str
    priority: int
    run_at: datetime
    failures: int
    crashes: int
    releases: int
    max_attempts: int | None
    delivery: str
    metadata: str | None
    concurrency_key: str | None
    tags: str | None
    """JSON text, as the payload and the metadata."""
    tenant: str | None
    user: str | None
    trace_id: str | None
    timeout_seconds: float | None = None
    fires_at: datetime | None = None
    missed: int | None = None

    @property
    def ref(self) -> Ref:
        return Ref(self.id, self.attempt)

    def __repr__(self) -> str:
        """Without what the project keeps in it."""
        return f"<Claim: attempt {self.attempt} of run {self.id} ({self.queue}.{self.job})>"


class Claiming(Database):
    """How pending runs become running."""

    @abstractmethod
    def claim(
        self,
        namespace: str,
        queue: str,
        *,
        worker: str,
        limit: int,
        lease_seconds: float,
        ruled: bool = False,
        bounds: Bounds | None = None,
    ) -> list[Claim]:
        """Lease up to *limit* due runs of *queue* to *worker*: highest priority first, then longest due.

        None, if an operator has paused or limited the queue, or a job of it; unless whoever claims has *ruled* on that,
        under the lock. *Bounds* are what the claimer remembers of its claims, for engines that would look through them.
        """

    @abstractmethod
    def take(self, ids: Iterable[int], *, worker: str, lease_seconds: float) -> list[Claim]:
        """Lease these pending runs, parked or not, to *worker*; the caller holds their lock, and has ruled on limits."""

    @abstractmethod
    def next_due(self, namespace: str, queues: Sequence[str]) -> float | None:
        """Seconds until a run of *queues* can be claimed: 0 or less if one is due, None if none is pending.

        Of runs that are parked, only those count that wait for a token; of those that have expired, none.
        """


def in_claim_order(claims: Iterable[Claim]) -> list[Claim]:
    """RETURNING keeps no order; the order of claiming is the order of starting."""
    by_age = sorted(claims, key=attrgetter("run_at", "id"))
    return sorted(by_age, key=attrgetter("priority"), reverse=True)  # which leaves those of a priority as they are
