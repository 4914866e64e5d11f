"""Schedules that are due, and what becomes of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from django_jobqueue.engines.base.database import Database


class Due(NamedTuple):
    """A schedule that is due."""

    id: int
    live: bool
    """Its overlap rule is not ``allow``, and one of its runs is pending or running."""


class Advance(NamedTuple):
    """What a schedule remembers of a tick. Moments are as the ORM takes them."""

    id: int
    next_run_at: datetime | None
    accounted_until: datetime | None
    last_run_at: datetime | None
    last_run: int | None
    skipped_since: datetime | None
    skip_reason: str | None
    skipped: int


class Schedules(Database):
    """How schedules come due."""

    @abstractmethod
    def due_schedules(self, namespace: str, *, now: datetime, limit: int, but: Sequence[int] = ()) -> list[Due]:
        """Up to *limit* schedules that are due at *now*, longest due first, without those of *but*.

        One whose runs queue is not due while one of them is live. They are locked until the transaction ends, in which
        the caller must be; those that others have locked are passed over.
        """

    @abstractmethod
    def advance_schedules(self, advances: Sequence[Advance]) -> None:
        """Write what became of schedules that ``due_schedules`` has locked."""
