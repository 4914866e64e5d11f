"""A worker fires what is due, on the dot, and its jobs learn which due time they are for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from django_jobqueue import RunContext, job
from django_jobqueue.models import Run, Schedule
from django_jobqueue.operations import schedule_create, schedule_fire_now
from django_jobqueue.scheduler import Scheduler
from django_jobqueue.worker import ticker
from django_jobqueue.worker.leases import Leases
from django_jobqueue.worker.ticker import Ticker
from tests.schedules.conftest import at
from tests.worker.bench import Recorder
from tests.worker.conftest import StartWorker, Work, observer, start_worker, work

__all__ = ["observer", "start_worker", "work"]

pytestmark = pytest.mark.django_db(transaction=True)


def noop() -> None:
    """Do nothing."""


def test_a_job_learns_its_due_time_and_how_many_were_missed(work: Work) -> None:
    told: list[tuple[datetime | None, int]] = []

    @job(queue="mail")
    def listen(*, run: RunContext) -> None:
        told.append((run.fires_at, run.missed))

    schedule_create("hourly", queue="mail", job="listen", cron="0 * * * *", timezone="UTC", actor="ann")
    Schedule.objects.update(next_run_at=at("9:00"))
    Scheduler().tick(at("12:10"))
    schedule_fire_now("hourly", actor="ann")
    Schedule.objects.update(next_run_at=None, enabled=False)

    work("mail")

    assert len(told) == 2
    assert {*told} == {(at("12:00"), 3), (None, 0)}  # they may run side by side


def test_an_idle_worker_wakes_when_a_schedule_is_due(start_worker: StartWorker, observer: Recorder) -> None:
    job(queue="mail")(noop)
    due = timezone.now() + timedelta(seconds=1.5)
    schedule_create("soon", queue="mail", job="noop", every_seconds=3600, starts_at=due, actor="ann")
    Schedule.objects.update(next_run_at=due)  # even if that is over by now

    with start_worker("mail"):
        observer.wait_for(lambda: observer.settled)

    run = Run.objects.get()
    assert run.fires_at == due
    assert run.created_at >= due


def test_the_ticker_knows_when_it_is_due_next(monkeypatch: pytest.MonkeyPatch) -> None:
    job(queue="mail")(noop)
    schedule_create("soon", queue="mail", job="noop", every_seconds=3600, actor="ann")
    monkeypatch.setattr(ticker, "INTERVAL_SECONDS", 86_400)
    clock = stopped_clock(monkeypatch)
    chore = Ticker()

    assert not chore.turn(Leases())

    assert clock() < chore.due_at <= clock() + 3600


def test_without_schedules_it_looks_about_every_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = stopped_clock(monkeypatch)
    ticker = Ticker()

    assert not ticker.turn(Leases())

    assert clock() + 0.8 <= ticker.due_at <= clock() + 1.2


def test_a_worker_that_starts_makes_the_rows_and_tells_what_is_wrong(
    work: Work, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {}}, "schedules": {"wrong": {"job": "nothing", "cron": "@daily"}}}
    job(queue="mail", schedule="@daily")(noop)

    with caplog.at_level(logging.ERROR):
        work("mail")

    assert sorted(Schedule.objects.values_list("name", flat=True)) == ["mail.noop", "wrong"]
    assert "Schedule 'wrong': 'nothing' is not a job of queue 'default'" in caplog.text


def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[], float]:
    """Let the ticker live in one moment."""

    def clock() -> float:
        return 1000.0

    monkeypatch.setattr("django_jobqueue.worker.ticker.monotonic", clock)
    monkeypatch.setattr("django_jobqueue.worker.chore.monotonic", clock)
    return clock
