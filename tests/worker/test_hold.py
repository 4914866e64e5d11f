"""When a lease that is over says nothing about its worker: after an outage, and after a jump of the clock."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from django_jobqueue import job, queues
from django_jobqueue.engines.base import Engine
from django_jobqueue.models import Run
from django_jobqueue.worker.leases import Leases
from django_jobqueue.worker.reaper import Reaper
from tests.worker.bench import Recorder
from tests.worker.conftest import Lose

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def lost(project: None, lose: Lose) -> Run:
    """A run whose lease is over."""

    @job
    def note() -> None:
        pass

    run = queues.default.add("note")
    assert run is not None
    lose()
    return run


@pytest.fixture
def reaper(observer: Recorder) -> Reaper:
    return Reaper(observer)


def reaps(reaper: Reaper) -> bool:
    return reaper.turn(Leases())


@pytest.mark.parametrize(("lease_seconds", "away_seconds"), [(30, 5.5), (3, 2.5), (1, 2)])
def test_after_an_outage_the_living_renew_before_anybody_reaps(
    reaper: Reaper, lost: Run, settings: Any, lease_seconds: float, away_seconds: float
) -> None:
    settings.JOBQUEUE = {"worker": {"lease_seconds": lease_seconds}}
    reaper._hold._last_turn -= away_seconds

    assert not reaps(reaper)
    assert not reaps(reaper)
    reaper._hold._until -= lease_seconds * 2 / 3
    assert reaps(reaper)


def test_a_pause_between_two_turns_is_no_outage(reaper: Reaper, lost: Run) -> None:
    reaper._hold._last_turn -= 1.4

    assert reaps(reaper)


def test_after_a_jump_of_the_clock_nobody_is_taken_for_dead_at_once(
    reaper: Reaper, engine: Engine, lost: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """A clock that has jumped and one that was read wrong before are the same."""
    reaper._hold.begin_turn()
    assert reaper._hold._clocks is not None
    database_time, ticks = reaper._hold._clocks
    reaper._hold._clocks = (database_time - timedelta(hours=2), ticks)

    assert not reaps(reaper)
    assert not reaps(reaper)
    assert caplog.text.count("The clock of the database has jumped by +7200") == 1
    reaper._hold._until -= 30
    assert reaps(reaper)


def test_after_the_clock_was_put_back_no_lease_lasts_for_hours(reaper: Reaper, engine: Engine, lost: Run) -> None:
    hold_lease(lost, hours=2)
    reaper._hold.begin_turn()
    assert reaper._hold._clocks is not None
    database_time, ticks = reaper._hold._clocks
    reaper._hold._clocks = (database_time + timedelta(hours=2), ticks)

    reaps(reaper)

    assert seconds_left(engine, lost) < 31


def test_a_worker_that_starts_later_shortens_only_what_no_lease_can_be(
    reaper: Reaper, engine: Engine, lost: Run
) -> None:
    """Another release may know of longer leases than this one."""
    hold_lease(lost, hours=23)
    reaps(reaper)
    assert seconds_left(engine, lost) > 22 * 3600

    hold_lease(lost, hours=48)
    reaps(Reaper(Recorder()))
    assert seconds_left(engine, lost) < 24 * 3600 + 1


def test_the_leases_of_external_queues_are_left_to_those_who_work_them(
    reaper: Reaper, engine: Engine, lost: Run, settings: Any
) -> None:
    settings.JOBQUEUE = {"queues": {"elsewhere": {"external": True}}}
    Run.objects.update(queue="elsewhere")
    hold_lease(lost, hours=2)
    reaper._hold.begin_turn()
    assert reaper._hold._clocks is not None
    database_time, ticks = reaper._hold._clocks
    reaper._hold._clocks = (database_time + timedelta(hours=2), ticks)

    reaps(reaper)

    assert seconds_left(engine, lost) > 3600


def hold_lease(run: Run, *, hours: int) -> None:
    Run.objects.filter(pk=run.pk).update(lease_until=timezone.now() + timedelta(hours=hours))


def seconds_left(engine: Engine, run: Run) -> float:
    until = Run.objects.values_list("lease_until", flat=True).get(pk=run.pk)
    assert until is not None
    return (until - engine.now()).total_seconds()
