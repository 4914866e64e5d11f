"""Ticks: one pass over the due schedules."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from time import monotonic
from typing import NamedTuple, cast

from django.db import transaction

from django_jobqueue.conf import external_queues, get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import NewRun
from django_jobqueue.errors import JobQueueError
from django_jobqueue.jobs import declared_schedules, registry
from django_jobqueue.models import Schedule, ScheduleQuerySet
from django_jobqueue.models.fields import as_aware, as_stored
from django_jobqueue.models.now import Now
from django_jobqueue.operations.inserting import insert_many
from django_jobqueue.operations.schedule_runs import asks_project
from django_jobqueue.operations.skips import record_skips
from django_jobqueue.operations.uniqueness import in_windows
from django_jobqueue.rhythm import ON_TIME
from django_jobqueue.scheduler.asking import AtOnce, Caller, Questions
from django_jobqueue.scheduler.turns import Turn, due_at
from django_jobqueue.signals import SchedulerTicked, ScheduleTriggered, heard, send, send_on_commit

BATCH = 250
"""Schedules that one transaction fires."""
LONGEST_TICK_SECONDS = 0.5
"""After which a worker looks after its runs first, before it fires more."""


class Tick(NamedTuple):
    """What came of a tick."""

    fired: int
    """How many runs it made."""
    wait_seconds: float | None
    """How long nothing is due: 0, where more is due already; None, where nothing ever is."""


class Scheduler:
    """Fires schedules; the payload functions that it lets *caller* call are those that this process declares."""

    def __init__(self, caller: Caller | None = None) -> None:
        self._declared, _ = declared_schedules()
        self._questions = Questions(caller or AtOnce())

    def tick(self, now: datetime | None = None) -> Tick:
        """Fire what is due *now*; by the database's clock, where nothing else is said. Idle, it is a single query."""
        tick = self._look(now)
        _tell_of(tick.fired)
        return tick

    def rest(self) -> None:
        """A tick of which the caller knows that nothing is due."""
        self._questions.forget_answered()
        _tell_of(0)

    def _look(self, now: datetime | None) -> Tick:
        first = _upcoming().values_list("next_run_at", Now()).first()
        if first is None:
            return Tick(0, None)
        next_run_at, clock = map(as_aware, first)
        now = now or clock
        if next_run_at <= now:
            return self._tick(now)
        self._questions.forget_answered()
        return Tick(0, (next_run_at - now).total_seconds())

    def _tick(self, now: datetime) -> Tick:
        fired, left = 0, _of_others()
        end = monotonic() + LONGEST_TICK_SECONDS
        more = True
        while more:
            more, runs = self._fire(now, left)
            fired += runs
            if more and monotonic() > end:
                return Tick(fired, 0.0)
        later = _upcoming().filter(next_run_at__gt=as_stored(now)).values_list("next_run_at", flat=True).first()
        return Tick(fired, (as_aware(later) - now).total_seconds() if later else None)

    def _fire(self, now: datetime, left: set[int]) -> tuple[bool, int]:
        """Fire a batch of schedules, but for those *left* to others; answer whether there may be more, and its runs."""
        config = get_config()
        with transaction.atomic(using=config.database):
            due = engine_for(config.database).due_schedules(
                config.namespace, now=as_stored(now), limit=BATCH, but=sorted(left)
            )
            rows = _rows().in_bulk([schedule.id for schedule in due])
            looked_at = (self._turn(rows[schedule.id], schedule.live, now, left) for schedule in due)
            turns = [turn for turn in looked_at if turn is not None]
            ours = [turn for turn in turns if not turn.unanswered]
            _write(ours)
        self._questions.forget(ours)
        left |= self._questions.ask([turn for turn in turns if turn.unanswered], now)
        asked = any(turn.answers is not None for turn in turns)  # then it is at an earlier moment, or not at any yet
        return asked or len(due) == BATCH, sum(len(turn.fired) for turn in ours)

    def _turn(self, schedule: Schedule, live: bool, now: datetime, left: set[int]) -> Turn | None:
        """The turn of a schedule, taken; None, if it is left for now."""
        asked = self._questions.about(schedule)
        if self._leaves(schedule, now) or (asked is not None and not asked.is_answered):
            left.add(schedule.pk)
            return None
        answers = (asked.answers if asked else {}) if asks_project(schedule) else None
        turn = Turn(schedule, live, self._declared, answers)
        turn.take(asked.now if asked else now)
        return turn

    def _leaves(self, schedule: Schedule, now: datetime) -> bool:
        """Whether workers of another release are left to make its run, as this one cannot: they do so in time, or nobody."""
        return now - due_at(schedule) <= ON_TIME and not self._knows(schedule)

    def _knows(self, schedule: Schedule) -> bool:
        """Whether this release can make a run of it."""
        if schedule.payload_function is not None and schedule.name not in self._declared:
            return False
        try:
            return registry.find(schedule.queue, schedule.job) is not None
        except JobQueueError:
            return False


def _write(turns: Sequence[Turn]) -> None:
    """Write what became of schedules: their runs, the due times that made none, and when they are due next."""
    if not turns:
        return
    config = get_config()
    news = [run for turn in turns for run in turn.runs]
    rows = iter(insert_many(in_windows(news)) if news else [])
    for turn in turns:
        turn.settle(list(islice(rows, len(turn.runs))))
    engine_for(config.database).advance_schedules([turn.advance() for turn in turns])
    if skips := [skip for turn in turns for skip in turn.skips]:
        record_skips(skips)
    if heard(ScheduleTriggered):
        triggered = [_triggered(turn.schedule, run, run_id) for turn in turns for run, run_id in turn.fired]
        send_on_commit(triggered, using=config.database)


def _tell_of(fired: int) -> None:
    if heard(SchedulerTicked):
        send([SchedulerTicked(namespace=get_config().namespace, fired=fired)])


def _triggered(schedule: Schedule, run: NewRun, run_id: int) -> ScheduleTriggered:
    return ScheduleTriggered(
        namespace=schedule.namespace,
        schedule=schedule.name,
        queue=run.queue,
        job=run.job,
        run_id=run_id,
        fires_at=cast("datetime", run.fires_at),
        missed=run.missed or 0,
    )


def _upcoming() -> ScheduleQuerySet:
    return _rows().upcoming().exclude(queue__in=external_queues())


def _of_others() -> set[int]:
    """The schedules of external queues: the deployments that work these fire them."""
    external = external_queues()
    return set(_rows().filter(queue__in=external).values_list("pk", flat=True)) if external else set()


def _rows() -> ScheduleQuerySet:
    config = get_config()
    return Schedule.objects.using(config.database).filter(namespace=config.namespace)
