"""Asking: what the project's own functions have to say about the runs of a tick.

They are called while no row is locked, as nobody knows how long they take. What they answer is of use only if, in the
end, the schedule still is what it was, and is to make the very runs that they were asked about.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeAlias

from django.db import transaction

from django_jobqueue.conf import get_config
from django_jobqueue.engines.base import NewRun
from django_jobqueue.models import Schedule
from django_jobqueue.operations.schedule_columns import columns_in
from django_jobqueue.rhythm import Span
from django_jobqueue.scheduler.turns import Turn, due_at

Answer: TypeAlias = Future[NewRun]


class Caller(Protocol):
    """Calls the project's functions."""

    def call(self, name: str, function: Callable[[], NewRun]) -> Answer:
        """Call *function*, which makes a run of the schedule *name*; or let it be called."""
        ...

    def wait(self) -> None:
        """Wait a moment for the answers that are still to come."""


class AtOnce:
    """Calls them in this very thread, and in its transaction, which they cannot break."""

    def call(self, name: str, function: Callable[[], NewRun]) -> Answer:
        answer = Answer()
        try:
            with transaction.atomic(using=get_config().database):
                answer.set_result(function())
        except Exception as error:  # the project's own functions may raise anything
            answer.set_exception(error)
        return answer

    def wait(self) -> None:
        """There is nothing to wait for."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked about the runs of a schedule, at a moment."""

    now: datetime
    columns: Mapping[str, Any]
    """What the schedule was then."""
    answers: Mapping[Span, Answer]

    @property
    def is_answered(self) -> bool:
        return all(answer.done() for answer in self.answers.values())

    def is_about(self, schedule: Schedule) -> bool:
        """Whether *schedule* still is what it was, and due."""
        return due_at(schedule) <= self.now and self.columns == columns_in(schedule)


class Questions:
    """The questions that are asked, and not of use yet: of each schedule the last ones."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._asked: dict[int, Asked] = {}

    def about(self, schedule: Schedule) -> Asked | None:
        """What was asked about the due times of *schedule* as it is."""
        asked = self._asked.get(schedule.pk)
        return asked if asked is not None and asked.is_about(schedule) else None

    def ask(self, turns: Sequence[Turn], now: datetime) -> set[int]:
        """Ask about the runs that *turns* are to make; answer with the schedules for which it takes longer."""
        for turn in turns:
            answers = {span: self._caller.call(turn.schedule.name, turn.maker(span)) for span in turn.unanswered}
            self._asked[turn.schedule.pk] = Asked(now, columns_in(turn.schedule), answers)
        self._caller.wait()
        return {turn.schedule.pk for turn in turns if not self._asked[turn.schedule.pk].is_answered}

    def forget(self, turns: Sequence[Turn]) -> None:
        """Forget what was asked about *turns*, which are over."""
        for turn in turns:
            self._asked.pop(turn.schedule.pk, None)

    def forget_answered(self) -> None:
        """Forget all that is answered: nothing is due, so nobody will use it."""
        self._asked = {pk: asked for pk, asked in self._asked.items() if not asked.is_answered}
