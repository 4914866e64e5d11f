from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from math import inf
from typing import Any, TypeAlias

import pytest
from pytest_django import Settings

from django_jobqueue import job
from django_jobqueue.conf.schedules import parse_options
from django_jobqueue.jobs import JobRegistry, registry
from django_jobqueue.models import Run, Schedule
from django_jobqueue.operations.schedule_columns import columns_of, write_columns
from django_jobqueue.scheduler import Scheduler, Tick, ticks

MakeSchedule: TypeAlias = Callable[..., Schedule]
TickAt: TypeAlias = Callable[[datetime | str], Tick]
Fired: TypeAlias = Callable[..., list[str]]


def send(to: str = "nobody") -> None:
    """Send one letter."""


@pytest.fixture(autouse=True)
def project(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue ``mail`` with the job ``send``."""
    monkeypatch.setattr(registry, "__dict__", vars(JobRegistry()))
    settings.JOBQUEUE = {"queues": {"mail": {}}}
    job(queue="mail")(send)


@pytest.fixture(autouse=True)
def no_tick_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor leaves off before it is done, however busy the machine."""
    monkeypatch.setattr(ticks, "LONGEST_TICK_SECONDS", inf)


def at(moment: datetime | str) -> datetime:
    """A moment in May 2026, UTC, where nothing else is said: ``12:00`` is of the 1st, ``3T12:00`` of the 3rd."""
    if isinstance(moment, datetime):
        return moment
    if "-" not in moment:
        day, _, time = moment.rpartition("T")
        moment = f"2026-05-{int(day or 1):02}T{time:0>5}"
    return datetime.fromisoformat(moment if "+" in moment or moment.endswith("Z") else f"{moment}Z")


@pytest.fixture
def make_schedule(db: None) -> MakeSchedule:
    """A schedule of the database, of ``mail.send`` where nothing else is said, as made at a moment."""

    def make_schedule(
        made_at: datetime | str, *, name: str = "letters", queue: str = "mail", job: str = "send", **options: Any
    ) -> Schedule:
        schedule = Schedule(name=name)
        write_columns(schedule, columns_of(parse_options(name, options), queue=queue, job=job), now=at(made_at))
        schedule.save()
        return schedule

    return make_schedule


@pytest.fixture
def tick() -> TickAt:
    """A tick of a worker that has just started, by a clock that the test sets."""
    return lambda moment: Scheduler().tick(at(moment))


@pytest.fixture
def fired() -> Fired:
    """The due times for which there are runs, in the order of their ids, with how many others each stands for."""

    def fired(name: str = "letters") -> list[str]:
        runs = Run.objects.filter(schedule__name=name).order_by("id").values_list("fires_at", "missed")
        return [_shown(fires_at) + (f" +{missed}" if missed else "") for fires_at, missed in runs]

    return fired


def _shown(moment: datetime | None) -> str:
    assert moment is not None
    text = f"{moment:%H:%M:%S}".removesuffix(":00")
    first = datetime.fromisoformat("2026-05-01T00:00Z")
    return text if timedelta() <= moment - first < timedelta(days=1) else f"{moment:%Y-%m-%d}T{text}"
