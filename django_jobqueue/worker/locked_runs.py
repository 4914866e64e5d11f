"""Runs of ours that somebody else has locked, in a transaction that may take its time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.db import DatabaseError

from django_jobqueue.conf import get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import Ref
from django_jobqueue.worker.leases import Leases, held


class LockedRuns:
    """A worker waits for them once, for as long as a lock may take; from then on it first asks which they are."""

    def __init__(self, leases: Leases) -> None:
        self._engine = engine_for(get_config().database)
        self._leases = leases
        self._expected: set[Ref] = set()
        """Those that were locked the last time, or among whom one was."""

    def expect_any(self) -> None:
        """Ask the next time whether any of ours is locked, and do not wait for it."""
        self._expected.update(lease.claim.ref for lease in self._leases.all())

    @property
    def are_expected(self) -> bool:
        return bool(self._expected)

    @contextmanager
    def expected_after_a_wait(self, refs: Sequence[Ref]) -> Iterator[None]:
        """Take note of an error that says that somebody has kept us waiting, who may have locked one of *refs*."""
        try:
            yield
        except DatabaseError as error:
            if self._engine.is_kept_waiting(error):
                self._expected.update(refs)
            raise

    def among(self, refs: Sequence[Ref]) -> set[Ref]:
        """Those of *refs*; where some are expected, the transaction of the caller holds the others from now on."""
        if not self._expected or not refs:
            return set()
        free = self._engine.hold_free(refs)
        locked = held([ref for ref in refs if ref not in free])
        unasked = {ref for ref in self._expected.difference(refs) if ref in self._leases}
        self._expected = locked | unasked
        return locked
