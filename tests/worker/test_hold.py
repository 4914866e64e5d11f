"""When a lease that is over says nothing about its worker: after an outage, and after a jump of the clock."""

from __future__ import annotations

from datetime import timedelta
from time import monotonic
from typing import Any

import pytest
from django.utils import timezone

from django_jobqueue import job, queues
from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import Engine
from django_jobqueue.models import Run
from django_jobqueue.worker import hold
from django_jobqueue.worker.leases import Leases
from django_jobqueue.worker.reaper import Reaper
from tests.worker.bench import Recorder, wait_until
from tests.worker.conftest import Lose, end_lease

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def no_outages() -> None:
    """None but those of the tests."""


@pytest.fixture(autouse=True)
def still_clocks(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the hold see time pass only where a test says so: by our clock, and by that of the database.

    The latter is ahead of all that a test does, for on SQLite it tells what is due.
    """
    ticks, now = monotonic(), engine.now() + timedelta(minutes=5)
    monkeypatch.setattr(hold, "monotonic", lambda: ticks)
    monkeypatch.setattr(engine, "now", lambda: now)


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


@pytest.mark.parametrize(("lease_seconds", "away_seconds"), [(30, 5.5), (3, 2.1), (1, 0.7)])
def test_after_an_outage_the_living_renew_before_anybody_reaps(
    reaper: Reaper, lost: Run, settings: Any, lease_seconds: float, away_seconds: float
) -> None:
    settings.JOBQUEUE = {"worker": {"lease_seconds": lease_seconds}}
    reaper._hold._last_turn -= away_seconds

    assert not reaps(reaper)
    assert not reaps(reaper)
    pass_time(reaper, lease_seconds * 2 / 3)
    assert reaps(reaper)


@pytest.mark.parametrize("cause", ["outage", "jump"])
def test_queues_with_short_leases_do_not_wait_for_those_with_long_ones(
    reaper: Reaper, settings: Any, cause: str
) -> None:
    """A queue that only another release knows may have leases as long as any."""
    settings.JOBQUEUE = {
        "worker": {"lease_seconds": 30},
        "queues": {"default": {}, "long": {"lease_seconds": 3600}, "of_tomorrow": {}},
    }
    runs = {name: lost_run(name) for name in ("default", "long", "of_tomorrow")}
    settings.JOBQUEUE = {
        "worker": {"lease_seconds": 30},
        "queues": {"default": {}, "long": {"lease_seconds": 3600}},
    }
    reaper._hold.begin_turn(engine_for("default").now())
    if cause == "outage":
        reaper._hold._last_turn -= 20
    else:
        jump(reaper, timedelta(hours=-2))

    def spared() -> set[str]:
        reaps(reaper)
        return {name for name, run in runs.items() if Run.objects.get(pk=run.pk).state == "running"}

    assert spared() == {"default", "long", "of_tomorrow"}
    pass_time(reaper, 20 if cause == "outage" else 30)
    assert spared() == {"long", "of_tomorrow"}
    pass_time(reaper, 3540 * (2 / 3 if cause == "outage" else 1))
    assert spared() == {"long", "of_tomorrow"}
    pass_time(reaper, 30)
    assert spared() == set()


def test_an_outage_after_a_jump_of_the_clock_does_not_shorten_the_hold(reaper: Reaper, lost: Run) -> None:
    reaper._hold.begin_turn(engine_for("default").now())
    jump(reaper, timedelta(hours=-2))
    assert not reaps(reaper)

    reaper._hold._last_turn -= 6
    assert not reaps(reaper)
    pass_time(reaper, 25)

    assert not reaps(reaper)


def test_while_no_heartbeat_can_be_written_nobody_is_taken_for_dead(reaper: Reaper, lost: Run) -> None:
    """A failover may leave a server that answers, and takes no writes."""
    ours = Leases()
    ours.beaten(0.01)
    wait_until(lambda: ours.beats_are_late)
    assert not reaper.turn(ours)

    ours.beaten(60)
    assert not reaper.turn(ours), "the heartbeats of others may be on their way"
    ours._late_until -= 120

    assert reaper.turn(ours)


def test_a_pause_between_two_turns_is_no_outage(reaper: Reaper, lost: Run) -> None:
    reaper._hold._last_turn -= 1.4

    assert reaps(reaper)


def test_after_a_jump_of_the_clock_nobody_is_taken_for_dead_at_once(
    reaper: Reaper, engine: Engine, lost: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """A clock that has jumped and one that was read wrong before are the same."""
    reaper._hold.begin_turn(engine_for("default").now())
    jump(reaper, timedelta(hours=-2))

    assert not reaps(reaper)
    assert not reaps(reaper)
    assert caplog.text.count("The clock of the database has jumped by +7200") == 1
    pass_time(reaper, 30)
    assert reaps(reaper)


def test_after_the_clock_was_put_back_no_lease_lasts_for_hours(reaper: Reaper, engine: Engine, lost: Run) -> None:
    hold_lease(lost, hours=2)
    reaper._hold.begin_turn(engine_for("default").now())
    jump(reaper, timedelta(hours=2))

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
    reaper._hold.begin_turn(engine_for("default").now())
    jump(reaper, timedelta(hours=2))

    reaps(reaper)

    assert seconds_left(engine, lost) > 3600


def lost_run(queue: str) -> Run:
    """A run of a worker that is not there any more."""
    job(name="note", queue=queue)(lambda: None)
    run = queues[queue].add("note")
    engine_for("default").claim("default", queue, worker="gone:1:a", limit=1, lease_seconds=30)
    end_lease(run.id)
    return run


def jump(reaper: Reaper, by: timedelta) -> None:
    """Let the clock of the database have been read as it was before it jumped."""
    assert reaper._hold._clocks is not None
    database_time, ticks = reaper._hold._clocks
    reaper._hold._clocks = (database_time + by, ticks)


def pass_time(reaper: Reaper, seconds: float) -> None:
    """Let the hold have begun so much earlier, and a little more: what floats add up to is not exact."""
    reaper._hold._until = {queue: until - seconds - 0.001 for queue, until in reaper._hold._until.items()}


def hold_lease(run: Run, *, hours: int) -> None:
    Run.objects.filter(pk=run.pk).update(lease_until=timezone.now() + timedelta(hours=hours))


def seconds_left(engine: Engine, run: Run) -> float:
    until = Run.objects.values_list("lease_until", flat=True).get(pk=run.pk)
    assert until is not None
    return (until - engine.now()).total_seconds()
