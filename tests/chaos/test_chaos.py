"""Fifty runs, two workers, and one kind of fault at a time. Whatever befalls them, the checker finds nothing.

The letters are those of the reliability study. Each fault is a real one: a signal, a server that is stopped, a connection
that is cut. ``make chaos`` does the same with more runs and more seeds.
"""

from __future__ import annotations

import signal
import time

import psutil
import pytest
from django.db import connection

from django_jobqueue.models import Run
from tests.acceptance.programs import WorkerProcess, wait_until
from tests.chaos.faults import Proxy, SpareServer
from tests.chaos.harness import RUNS, Trial
from tests.chaos.jobs import ENDS, ERRORS
from tests.chaos.settings import LEASE_SECONDS

pytestmark = pytest.mark.slow


def test_w1_a_worker_is_killed_while_its_jobs_run(trial: Trial) -> None:
    victim, _ = trial.start_two()
    trial.ledger.add_work(RUNS)
    trial.effects.wait_for("start", trial.some())

    trial.kill(victim)

    assert trial.finish() == []
    assert Run.objects.filter(crashes=1).exists()


def test_w2_the_child_of_one_job_is_killed(trial: Trial) -> None:
    """It takes no other run with it, and nobody waits for its lease to end."""
    worker = trial.start()
    for _ in range(RUNS // 5):
        trial.ledger.add("apart", {"seconds": 0.3})
    trial.ledger.add_work(RUNS)
    apart = set(Run.objects.filter(job="apart").values_list("pk", flat=True))
    wait_until(lambda: any(effect.run_id in apart for effect in trial.effects.all("start")), "a child works")
    victim = next(effect.pid for effect in reversed(trial.effects.all("start")) if effect.run_id in apart)

    psutil.Process(victim).kill()
    trial.note_kill(victim)

    assert victim != worker.pid
    assert trial.finish() == []
    assert set(Run.objects.filter(crashes=1).values_list("job", flat=True)) <= {"apart"}


def test_w5_a_worker_dies_after_the_work_and_before_it_is_written(trial: Trial) -> None:
    trial.start("--processes=2")
    trial.ledger.add("fall", {"how": "kill", "falls": 1})
    trial.ledger.add_work(RUNS)
    trial.faults += 1

    assert trial.finish() == []
    assert Run.objects.get(job="fall").attempt == 2


def test_w6_a_worker_is_killed_as_soon_as_runs_are_completed(trial: Trial) -> None:
    victim, _ = trial.start_two()
    trial.ledger.add_work(RUNS)
    completed = trial.some()
    wait_until(lambda: Run.objects.in_state("completed").count() >= completed, "runs are completed")

    trial.kill(victim)

    assert trial.finish() == []


def test_w7_workers_are_told_to_stop_one_after_the_other(trial: Trial) -> None:
    first, second = trial.start_two()
    trial.ledger.add_work(RUNS)

    trial.effects.wait_for("start", trial.some(0.1, 0.3))
    trial.expect_exit(first, first.stop(), 0)
    trial.start()
    trial.effects.wait_for("start", trial.some(0.4, 0.6))
    trial.expect_exit(second, second.stop(), 0)
    trial.faults += 2

    assert trial.finish() == []
    assert set(Run.objects.values_list("crashes", "failures")) == {(0, 0)}


def test_w13_a_worker_freezes_for_three_leases(trial: Trial) -> None:
    frozen, _ = trial.start_two()
    trial.ledger.add_work(RUNS, longest=1.0)
    trial.effects.wait_for("start", trial.some(0.1, 0.3))

    freeze(trial, frozen, 3 * LEASE_SECONDS)

    assert trial.finish() == []


def test_j1_jobs_raise_what_is_no_exception(trial: Trial) -> None:
    trial.start_two()
    trial.ledger.add_work(RUNS)
    for error in ERRORS:
        trial.ledger.add("raise", {"error": error})
        trial.faults += 1

    assert trial.finish() == []
    outcomes = set(Run.objects.filter(job="raise").values_list("state", "failures", "crashes"))
    assert outcomes == {("dead_lettered", 2, 0)}


def test_j2_jobs_take_their_process_down(trial: Trial) -> None:
    trial.start("--processes=2")
    trial.ledger.add_work(RUNS)
    for how in ENDS:
        trial.ledger.add("fall", {"how": how, "falls": 1})
        trial.faults += 1

    assert trial.finish() == []


def test_l1_a_job_kills_every_worker_until_it_is_given_up(trial: Trial) -> None:
    """The wait of half a minute before the third attempt is skipped."""
    trial.start("--processes=2")
    trial.ledger.add("fall", {"how": "os._exit", "falls": 99})
    trial.ledger.add_work(RUNS)
    poison = Run.objects.get(job="fall")
    trial.faults += 3

    wait_until(lambda: Run.objects.filter(pk=poison.pk, crashes=2).update(run_at=poison.run_at), "it crashes twice")

    assert trial.finish() == []
    poison.refresh_from_db()
    assert (poison.state, poison.reason, poison.attempt, poison.crashes) == ("dead_lettered", "max_crashes", 3, 3)


@pytest.mark.postgresql
def test_d1_the_database_is_stopped_for_longer_than_a_lease(server: SpareServer, trial: Trial) -> None:
    trial.start_two()
    trial.ledger.add_work(RUNS, longest=0.6)
    trial.effects.wait_for("start", trial.some())

    server.stop("fast")
    trial.faults += 1
    time.sleep(2.5 * LEASE_SECONDS)  # nobody could tell of it
    trial.ledger.add_work(1)
    server.start()

    assert trial.finish() == []
    assert set(Run.objects.values_list("crashes", flat=True)) == {0}


@pytest.mark.postgresql
def test_d4_all_sessions_are_ended_again_and_again(server: SpareServer, trial: Trial) -> None:
    trial.start_two()
    trial.ledger.add_work(RUNS)

    for part in (0.1, 0.2, 0.3, 0.4, 0.5):
        trial.effects.wait_for("start", int(RUNS * part))
        connection.close()
        trial.faults += server.terminate_backends()

    assert trial.faults >= 5
    assert trial.finish() == []
    assert set(Run.objects.values_list("crashes", flat=True)) == {0}


@pytest.mark.postgresql
def test_d8_the_replies_to_some_commits_are_lost(server: SpareServer, proxy: Proxy, trial: Trial) -> None:
    trial.start_two()
    trial.ledger.add_work(RUNS)

    for part in (0.1, 0.3, 0.5):
        trial.effects.wait_for("start", int(RUNS * part))
        proxy.lose_replies_to_commit(1)
    wait_until(lambda: proxy.lost == 3, "replies are lost")
    trial.faults += 3

    assert trial.finish() == []
    assert set(Run.objects.values_list("crashes", flat=True)) == {0}


@pytest.mark.postgresql
def test_d9_a_failover_leaves_the_workers_with_a_server_that_is_read_only(server: SpareServer, trial: Trial) -> None:
    workers = trial.start_two()
    trial.ledger.add_work(RUNS)
    trial.effects.wait_for("start", trial.some())

    with server.read_only():
        trial.faults += 1
        time.sleep(1.2 * LEASE_SECONDS)  # nobody could tell of it
        trial.ledger.add_work(1)

    assert trial.finish() == []
    assert set(Run.objects.values_list("crashes", flat=True)) == {0}
    assert all("read-only transaction" in worker.output for worker in workers)


@pytest.mark.postgresql
def test_d11_others_take_all_connections(server: SpareServer, trial: Trial) -> None:
    workers = trial.start_two()
    trial.ledger.add_work(RUNS)
    trial.effects.wait_for("start", trial.some())

    with server.crowded():
        trial.faults += 1
        time.sleep(1.2 * LEASE_SECONDS)  # nobody could tell of it

    connection.close()
    assert trial.finish() == []
    assert set(Run.objects.values_list("crashes", flat=True)) == {0}
    assert all("too many clients" in worker.output for worker in workers)


@pytest.mark.parametrize("fenced", [True, False], ids=["fenced", "unfenced"])
def test_control_the_checker_finds_out_workers_without_the_fence(trial: Trial, fenced: bool) -> None:
    settings = "tests.chaos.settings" if fenced else "tests.chaos.unfenced_settings"
    trial.ledger.add("work", {"seconds": 2 * LEASE_SECONDS})
    frozen = trial.start(settings=settings)
    trial.effects.wait_for("start")
    frozen.send(signal.SIGSTOP)
    trial.start(settings=settings)
    trial.effects.wait_for("start", attempt=2)
    frozen.send(signal.SIGCONT)

    found = trial.finish()

    assert (found == []) is fenced
    assert fenced or any(what.startswith("C8") for what in found)


def freeze(trial: Trial, worker: WorkerProcess, seconds: float) -> None:
    worker.send(signal.SIGSTOP)
    trial.faults += 1
    time.sleep(seconds)  # it cannot tell that it has slept enough
    worker.send(signal.SIGCONT)
