"""Faults of jobs: J1 to J13 and L1 of the reliability study, on each database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from django_jobqueue.models import Run
from tests.acceptance.programs import wait_until
from tests.chaos.harness import RUNS, Trial
from tests.chaos.jobs import ENDS, ERRORS, SPOILS
from tests.chaos.settings import LEASE_SECONDS, SLOTS

pytestmark = pytest.mark.slow

TIMED_OUT = ("dead_lettered", "max_attempts", 1, 0)


@pytest.mark.thorough("postgresql")
def test_j1_jobs_raise_what_is_no_exception(trial: Trial) -> None:
    trial.start()
    trial.ledger.add_work(RUNS)
    for error in ERRORS:
        trial.ledger.add("raise", {"error": error})
        trial.faults += 1

    assert trial.finish() == []
    outcomes = set(Run.objects.filter(job="raise").values_list("state", "failures", "crashes"))
    assert outcomes == {("dead_lettered", 2, 0)}


@pytest.mark.thorough
def test_j2_jobs_take_their_process_down(trial: Trial) -> None:
    trial.start_supervised()
    trial.ledger.add_work(RUNS)
    for how in ENDS:
        trial.ledger.add("fall", {"how": how, "falls": 1})
        trial.faults += 1

    assert trial.finish() == []


@pytest.mark.thorough
def test_j6_jobs_in_threads_turn_for_ever(trial: Trial) -> None:
    """Their slots are leaked, until none is left: the worker ends to be recycled."""
    hang_in_threads(trial, "hang", {"how": "turn"})


@pytest.mark.thorough
def test_j7_jobs_in_processes_turn_for_ever(trial: Trial) -> None:
    """They are killed, and their slots are free again."""
    hang_in_processes(trial, {"how": "turn"})


@pytest.mark.thorough
@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_j8_jobs_wait_in_c_for_ever(trial: Trial, executor: str) -> None:
    """No exception reaches them."""
    if executor == "threads":
        hang_in_threads(trial, "hang", {"how": "wait"})
    else:
        hang_in_processes(trial, {"how": "wait"})


@pytest.mark.thorough
def test_j9_coroutines_heed_no_cancellation(trial: Trial) -> None:
    hang_in_threads(trial, "defy", {})


@pytest.mark.thorough
def test_j10_a_coroutine_blocks_the_event_loop_for_longer_than_a_lease(trial: Trial) -> None:
    """The heartbeat has a thread of its own. A warning names the run."""
    trial.start_two()
    trial.ledger.add("block", {"seconds": max(2 * LEASE_SECONDS, 7)})
    trial.ledger.add_work(RUNS)
    trial.faults += 1

    assert trial.finish() == []
    blocked = Run.objects.get(job="block")
    assert (blocked.state, blocked.attempt, blocked.crashes) == ("completed", 1, 0)
    warning = f"The event loop has been blocked for 5 s by run {blocked.pk} (chaos.block)"
    assert any(warning in line for line in trial.lines())


@pytest.mark.thorough
def test_j12_jobs_leave_a_transaction_open(trial: Trial) -> None:
    spoil(trial, "enter")


@pytest.mark.thorough
@pytest.mark.parametrize("how", sorted({*SPOILS} - {"enter"}))
def test_j13_jobs_break_the_connection_of_their_thread(trial: Trial, how: str) -> None:
    spoil(trial, how)


@pytest.mark.thorough("postgresql")
def test_l1_a_job_kills_every_worker_until_it_is_given_up(trial: Trial) -> None:
    """The wait of half a minute before the third attempt is skipped."""
    trial.start_two()
    trial.ledger.add("fall", {"how": "os._exit", "falls": 99})
    trial.ledger.add_work(RUNS)
    poison = Run.objects.get(job="fall")
    trial.bury(trial.effects.wait_for("fall")[0].pid)
    trial.faults += 3

    wait_until(lambda: Run.objects.filter(pk=poison.pk, crashes=2).update(run_at=poison.run_at), "it crashes twice")

    assert trial.finish() == []
    poison.refresh_from_db()
    assert (poison.state, poison.reason, poison.attempt, poison.crashes) == ("dead_lettered", "max_crashes", 3, 3)


def hang_in_threads(trial: Trial, job: str, payload: Mapping[str, Any]) -> None:
    worker = trial.start()
    for _ in range(SLOTS):
        trial.ledger.add(job, payload)
        trial.faults += 1
    trial.ledger.add_work(RUNS)

    trial.expect_exit(worker, worker.wait(), 75)

    trial.start()
    assert trial.finish() == []
    assert outcomes(job) == {TIMED_OUT}


def hang_in_processes(trial: Trial, payload: Mapping[str, Any]) -> None:
    trial.start()
    for _ in range(2 * SLOTS):
        trial.ledger.add("hang_apart", payload)
        trial.faults += 1
    trial.ledger.add_work(RUNS)

    assert trial.finish() == []
    assert outcomes("hang_apart") == {TIMED_OUT}


def spoil(trial: Trial, how: str) -> None:
    """Let every third job leave its connection in disorder: neither it nor the next one in its thread is harmed."""
    trial.start()
    for _ in range(RUNS // 3):
        trial.ledger.add("spoil", {"how": how})
        trial.ledger.add_work(2, longest=0.05)
        trial.faults += 1

    assert trial.finish() == []
    assert set(trial.runs().values_list("attempt", "failures", "crashes")) == {(1, 0, 0)}


def outcomes(job: str) -> set[tuple[object, ...]]:
    return set(Run.objects.filter(job=job).values_list("state", "reason", "failures", "crashes"))
