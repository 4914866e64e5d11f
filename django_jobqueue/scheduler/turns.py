"""Turns: what becomes of the due times of one schedule in a tick."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import cast

from django_jobqueue.engines.base import Advance, Inserted, NewRun
from django_jobqueue.errors import InvalidSchedule, JobQueueError, RunVetoed
from django_jobqueue.jobs import DeclaredSchedule
from django_jobqueue.models import Schedule, Skip
from django_jobqueue.models.fields import as_aware, as_stored
from django_jobqueue.operations.schedule_columns import reckon
from django_jobqueue.operations.schedule_runs import run_of
from django_jobqueue.operations.skips import skip
from django_jobqueue.operations.uniqueness import Existing
from django_jobqueue.rhythm import Decision, Span, decide
from django_jobqueue.states import Misfire, Overlap, SkipReason

logger = logging.getLogger(__name__)


def due_at(schedule: Schedule) -> datetime:
    """When a schedule that is due was due first."""
    return as_aware(cast("datetime", schedule.next_run_at))


@dataclass(slots=True)
class Turn:
    """The turn of a due schedule. What is decided is noted in its row, which is not saved here."""

    schedule: Schedule
    live: bool
    """Whether an earlier run is pending or running, where the overlap rule wants to know."""
    declared: Mapping[str, DeclaredSchedule]
    answers: Mapping[Span, Future[NewRun]] | None = None
    """The runs that the project's functions have made, for the due times that they were asked about; None, where none of
    them takes part."""
    unanswered: list[Span] = field(default_factory=list)
    """What they are to be asked about first; nothing is noted then."""
    runs: list[NewRun] = field(default_factory=list)
    skips: list[Skip] = field(default_factory=list)
    fired: list[tuple[NewRun, int]] = field(default_factory=list)
    """Those of the runs that were added, with their ids."""

    def take(self, now: datetime) -> None:
        """Decide about its due times up to *now*. Whatever is wrong with the schedule is recorded, not raised."""
        due = due_at(self.schedule)
        try:
            self._take(due, now)
        except InvalidSchedule as error:  # a row that somebody has written by hand
            self._skip(Span(due, due), SkipReason.REFUSED, str(error))
            self.schedule.next_run_at = None

    def settle(self, rows: Sequence[Inserted | Existing]) -> None:
        """Note what became of its runs: a run that would be a duplicate is not added, so its due time made none."""
        until = self.schedule.accounted_until
        for new, row in zip(self.runs, rows, strict=True):
            if isinstance(row, Inserted):
                self.fired.append((new, row.id))
                self.schedule.last_run_at, self.schedule.last_run_id = new.fires_at, row.id
            else:
                fires_at = as_aware(cast("datetime", new.fires_at))
                self._skip(Span(fires_at, fires_at, 1 + (new.missed or 0)), SkipReason.DUPLICATE)
        self.schedule.accounted_until = until

    def advance(self) -> Advance:
        """What is to be written of the schedule, once it is settled."""
        schedule = self.schedule
        return Advance(
            id=schedule.pk,
            next_run_at=schedule.next_run_at,
            accounted_until=schedule.accounted_until,
            last_run_at=schedule.last_run_at,
            last_run=schedule.last_run_id,
            skipped_since=schedule.skipped_since,
            skip_reason=schedule.skip_reason,
            skipped=schedule.skipped,
        )

    def maker(self, span: Span) -> Callable[[], NewRun]:
        """What makes the run of *span*."""
        missed = span.number - 1 or None
        return partial(
            run_of, self.schedule, span.last_at, self.declared, fires_at=as_stored(span.last_at), missed=missed
        )

    def _take(self, due: datetime, now: datetime) -> None:
        schedule = self.schedule
        if schedule.accounted_until is not None and due <= as_aware(schedule.accounted_until):
            reckon(schedule, now=now)  # it was set back by hand, but no due time is decided twice
            return
        decision = decide(
            schedule.rhythm, due, now, misfire=Misfire(schedule.misfire), max_catch_up=schedule.max_catch_up
        )
        firings, overlapped, next_run_at = self._without_overlap(decision)
        if self.answers is not None and not self.answers.keys() >= set(firings):
            self.unanswered = firings
            return
        if decision.skipped is not None:
            self._skip(decision.skipped, SkipReason.MISFIRE)
        for firing in firings:
            self._fire(firing)
        if overlapped:
            number = sum(span.number for span in overlapped)
            self._skip(Span(overlapped[0].first_at, overlapped[-1].last_at, number), SkipReason.OVERLAP)
        schedule.next_run_at = as_stored(next_run_at) if next_run_at else None

    def _without_overlap(self, decision: Decision) -> tuple[list[Span], list[Span], datetime | None]:
        """What fires, what the overlap rule does not let fire, and the next due time."""
        firings, next_run_at = decision.firings, decision.next_run_at
        if self.schedule.overlap == Overlap.QUEUE and len(firings) > 1:
            return firings[:1], [], firings[1].first_at
        if self.schedule.overlap == Overlap.SKIP:
            free = 0 if self.live else 1
            return firings[:free], firings[free:], next_run_at
        return firings, [], next_run_at

    def _fire(self, span: Span) -> None:
        try:
            new = self.maker(span)() if self.answers is None else self.answers[span].result(timeout=0)
        except RunVetoed:
            self._skip(span, SkipReason.VETOED)
        except JobQueueError as error:
            self._skip(span, SkipReason.REFUSED, str(error))
        except Exception as error:  # the project's own functions may raise anything
            self._skip(span, SkipReason.REFUSED, f"{type(error).__name__}: {error}")
        else:
            self.runs.append(new)
            self.schedule.accounted_until = new.fires_at
            self.schedule.skipped_since, self.schedule.skip_reason, self.schedule.skipped = None, None, 0

    def _skip(self, span: Span, reason: SkipReason, error: str | None = None) -> None:
        self.skips.append(skip(self.schedule, span, reason, error))
        if self.schedule.skipped == span.number:  # what goes on is not told again
            level = logging.ERROR if error else logging.WARNING if reason == SkipReason.MISFIRE else logging.INFO
            told = f"{reason}: {error}" if error else str(reason)
            logger.log(level, "Schedule %r makes no run for %s. (%s)", self.schedule.name, span.first_at, told)
