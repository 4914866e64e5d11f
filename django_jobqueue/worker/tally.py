"""The tally: counts what a worker's attempts came to, and writes it down now and then."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from django_jobqueue.engines.base import Claim, LostRun, Settlement
from django_jobqueue.operations.counting import Counted, Sum, counted_as, record_counts, this_minute
from django_jobqueue.states import State
from django_jobqueue.worker.chore import later
from django_jobqueue.worker.connections import DATABASE_AWAY
from django_jobqueue.worker.leases import Leases
from django_jobqueue.worker.observer import Observer
from django_jobqueue.worker.runner import Ended

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 5.0
"""What a worker that is killed has counted in this time is lost."""


class Tally(Observer):
    """An observer that counts, and a chore that writes: one insert, of a row for each job and outcome in a minute."""

    def __init__(self) -> None:
        self.due_at = later(INTERVAL_SECONDS)
        self._counts: dict[Counted, Sum] = {}

    def attempts_settled(self, settled: Sequence[tuple[Ended, State]]) -> None:
        minute = this_minute()
        taken: dict[tuple[str, str, str], list[float]] = {}
        for ended, state in settled:
            outcome = counted_as(ended.settlement.outcome, state)
            taken.setdefault((ended.claim.queue, ended.claim.job, outcome), []).append(ended.seconds)
        for counted, seconds in taken.items():
            self._add(Counted(minute, *counted), len(seconds), sum(seconds))

    def cancelled(self, claims: Sequence[Claim]) -> None:
        for claim in claims:
            self._add(Counted(this_minute(), claim.queue, claim.job, State.CANCELLED))

    def reaped(self, lost: LostRun, settlement: Settlement, state: State) -> None:
        self._add(Counted(this_minute(), lost.queue, lost.job, counted_as(settlement.outcome, state)))

    def turn(self, ours: Leases) -> bool:
        self.due_at = later(INTERVAL_SECONDS)
        self._write()
        return False

    def leaving(self, seconds: float) -> None:
        try:
            self._write()
        except DATABASE_AWAY:
            logger.warning("The database does not answer. What was counted last is lost.")

    def _add(self, counted: Counted, number: int = 1, seconds: float = 0.0) -> None:
        self._counts[counted] = self._counts.get(counted, Sum()).plus(number, seconds)

    def _write(self) -> None:
        if self._counts:
            record_counts(self._counts)
            self._counts = {}
