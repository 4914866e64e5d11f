"""Runs of ours that somebody else has locked, in a transaction that may take its time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.db import DatabaseError

from django_jobqueue.conf import get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import Ref
from django_jobqueue.worker.leases import held


class LockedRuns:
    """A worker waits for them once, for as long as a lock may take; from then on it first asks which they are."""

    def __init__(self) -> None:
        self._engine = engine_for(get_config().database)
        self.are_expected = False
        """Whether there were some the last time."""

    @contextmanager
    def expected_after_a_wait(self) -> Iterator[None]:
        """Take note of an error that says that somebody has kept us waiting."""
        try:
            yield
        except DatabaseError as error:
            self.are_expected = self.are_expected or self._engine.is_kept_waiting(error)
            raise

    def among(self, refs: Sequence[Ref]) -> set[Ref]:
        """Those of *refs*; where some are expected, the transaction of the caller holds the others from now on."""
        if not self.are_expected or not refs:
            return set()
        free = self._engine.hold_free(refs)
        locked = held([ref for ref in refs if ref not in free])
        self.are_expected = bool(locked)
        return locked
