"""Faults of clocks: T1 to T3 of the reliability study. The clock of the database decides; on SQLite there is no other."""

from __future__ import annotations

import signal
import time

import pytest

from django_jobqueue.models import Run
from tests.acceptance.programs import wait_until
from tests.chaos.clock import COMPILER, Clock
from tests.chaos.harness import FORGIVABLE_SECONDS, RUNS, Trial
from tests.chaos.settings import LEASE_SECONDS
from tests.chaos.spare_server import SpareServer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.thorough,
    pytest.mark.postgresql,
    pytest.mark.skipif(COMPILER is None, reason="no C compiler here"),
]

HOURS = 2 * 3600


@pytest.mark.parametrize("seconds", [HOURS, -HOURS], ids=["ahead", "behind"])
def test_t1_the_clock_of_a_worker_is_two_hours_off(
    server: SpareServer, clock: Clock, trial: Trial, seconds: int
) -> None:
    clock.put(seconds)
    wrong = trial.start(environment=clock.environment)
    trial.shifts[wrong.pid] = seconds
    victim = trial.start()
    trial.ledger.add_work(RUNS)
    trial.faults += 1
    trial.effects.wait_for("start", trial.some())

    assert trial.finish() == []
    assert set(trial.runs().values_list("attempt", "crashes")) == {(1, 0)}
    assert {effect.pid for effect in trial.effects.all("start")} == {wrong.pid, victim.pid}


def test_t2_the_clock_of_the_database_jumps_two_hours_ahead(
    shifted_server: SpareServer, clock: Clock, trial: Trial
) -> None:
    """Every lease is over at once; nobody takes that for a sign that its worker is gone."""
    trial.start_two()
    trial.ledger.add_work(RUNS, longest=0.6)
    trial.effects.wait_for("start", trial.some())

    clock.put(HOURS)
    trial.clock_is_right = False
    trial.faults += 1

    assert trial.finish() == []
    assert set(trial.runs().values_list("attempt", "crashes")) == {(1, 0)}


def test_t3_the_clock_of_the_database_is_put_back_two_hours(
    shifted_server: SpareServer, clock: Clock, trial: Trial
) -> None:
    """A worker dies with a lease of two hours. Its runs come back after two leases: in the first, nobody takes any."""
    victim, _ = trial.start_two()
    for _ in range(8):
        trial.ledger.add("work", {"seconds": LEASE_SECONDS})
    wait_until(
        lambda: not trial.runs().filter(attempt=0).exists(), "all of them run"
    )  # else they would be due in two hours

    clock.put(-HOURS)
    trial.clock_is_right = False
    victim.send(signal.SIGKILL)
    killed_at = time.time()
    trial.faults += 1
    trial.ledger.add_work(RUNS // 4)  # few: they are due before those that come back

    assert trial.finish() == []
    assert Run.objects.filter(crashes=1).exists()
    again = [effect.at for effect in trial.effects.all("start") if effect.attempt == 2]
    assert max(again) <= killed_at + 2 * LEASE_SECONDS + FORGIVABLE_SECONDS
