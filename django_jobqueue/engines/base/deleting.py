"""Runs that go, with all their attempts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from django_jobqueue.engines.base.database import Database
from django_jobqueue.engines.base.ref import Ref


class Deleting(Database):
    """How runs are deleted."""

    @abstractmethod
    def _delete(self, refs: Sequence[Ref]) -> set[Ref]:
        """Delete running runs and all their attempts; answer which were still ours."""

    @abstractmethod
    def purge(self, ids: Sequence[int]) -> list[int]:
        """Delete those of the runs *ids* that have ended, and all their attempts; answer which. Waits for nobody."""
