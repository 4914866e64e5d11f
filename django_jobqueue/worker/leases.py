"""The leases of one worker process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from time import monotonic
from typing import TypeAlias

from django_jobqueue.conf import get_config
from django_jobqueue.engines.base import Claim, Ref
from django_jobqueue.jobs import Notes
from django_jobqueue.models import Run

LATE_BEATS = 2
"""For so many heartbeats none has succeeded: others have missed them too, and get as much time to make up for it."""

FORCE_SECONDS = 2.0
"""What a job gets to clean up after itself, where its process is killed if it does not end."""

Interrupt: TypeAlias = Callable[[Ref, str], None]
"""Is given the attempt that is to end, and why."""


@dataclass(slots=True)
class Lease:
    """One claim, and what passes between its job and us."""

    claim: Claim
    seconds: float
    renewed_at: float
    """When, by ``time.monotonic()``, the last renewal that succeeded was sent, or else the claim."""
    notes: Notes | None = None
    interrupted: bool = False
    """Whether its job was asked to end."""
    doubted_at: float | None = None
    """When, by ``time.monotonic()``, it was asked to because nobody could say that the run is still ours."""
    kill_at: float = inf
    """When, by ``time.monotonic()``, its process is to be killed, if it has one of its own and has not ended."""
    missed: bool = False
    """Whether the last heartbeat could not renew it."""
    excludes_writers: bool = False
    """Whether its job is in a transaction that keeps everybody else from writing: nobody can take a run meanwhile."""
    has_committed: bool = False
    """Whether its job has settled the run in its own transaction: nothing is left to renew, nor to be lost."""
    has_ended: bool = False
    """Whether its job has: if the run is not ours any more, we may have settled it ourselves, and have not heard of that yet."""
    gone_at: float | None = None
    """When, by ``time.monotonic()``, the run was first found not to be ours any more."""

    @property
    def is_over(self) -> bool:
        """Whether it has ended, by our own clock: as far as we know, others may have taken the run."""
        return monotonic() > self.renewed_at + self.seconds

    def ask_to_end(self, why: str, interrupt: Interrupt) -> None:
        """Once: a job may take its time to clean up."""
        if not self.interrupted:
            self.interrupted = True
            if self.notes is not None:
                self.notes.cancel_requested = True
            interrupt(self.claim.ref, why)

    def kill_unless_ended(self, *, by: float = inf) -> None:
        """Do not wait for its job any longer than it gets to clean up; or *by* then, if that is sooner."""
        self.kill_at = min(self.kill_at, monotonic() + FORCE_SECONDS, by)


class Leases:
    """What this process has claimed and not yet settled; shared by the main thread and the heartbeat."""

    def __init__(self) -> None:
        self._leases: dict[Ref, Lease] = {}
        self._lock = threading.Lock()
        self._late_from, self._late_until = inf, 0.0
        """By ``time.monotonic()``: when heartbeats are late if none succeeds, and until when they count as such."""

    def __len__(self) -> int:
        return len(self._leases)

    def __contains__(self, ref: object) -> bool:
        return ref in self._leases

    def add(self, claims: Iterable[Claim], lease_seconds: Mapping[str, float], claimed_at: float) -> list[Lease]:
        """Hold *claims* for what a lease of their queue lasts."""
        leases = [Lease(claim, lease_seconds[claim.queue], claimed_at) for claim in claims]
        with self._lock:
            self._leases.update((lease.claim.ref, lease) for lease in leases)
        return leases

    def beaten(self, interval: float) -> None:
        """A heartbeat has succeeded, and the next follows in so many seconds."""
        now = monotonic()
        if now > self._late_from:
            self._late_until = now + LATE_BEATS * interval
        self._late_from = now + LATE_BEATS * interval

    @property
    def beats_are_late(self) -> bool:
        """Whether no heartbeat has succeeded for two of them, or none had until just now: the database takes no writes.

        It may still be read, as after a failover.
        """
        return monotonic() > self._late_from or monotonic() < self._late_until

    def drop(self, refs: Iterable[Ref]) -> None:
        with self._lock:
            for ref in refs:
                self._leases.pop(ref, None)

    def note_end(self, ref: Ref) -> None:
        """The job of an attempt has ended."""
        if (lease := self._leases.get(ref)) is not None:
            lease.has_ended = True

    def get(self, ref: Ref) -> Lease | None:
        return self._leases.get(ref)

    def all(self) -> list[Lease]:
        with self._lock:
            return list(self._leases.values())


def held(refs: Sequence[Ref]) -> set[Ref]:
    """Those of *refs* that are still ours, by what is committed."""
    runs = Run.objects.using(get_config().database).filter(pk__in=[ref.id for ref in refs], lease_until__isnull=False)
    return {Ref(*row) for row in runs.values_list("pk", "attempt")}.intersection(refs)
