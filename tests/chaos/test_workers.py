"""Faults of worker processes and signals: W1 to W14 of the reliability study, on each database.

Some runs, two workers, and one fault at a time; whatever befalls them, the checker finds nothing. A test that is marked
``thorough`` is run by ``make chaos`` only, and one that is so for a database, by that only there.
"""

from __future__ import annotations

import signal
import time

import psutil
import pytest

from django_jobqueue.models import Run
from tests.acceptance.programs import PATIENCE_SECONDS, WorkerProcess, wait_until
from tests.chaos.harness import RUNS, Trial
from tests.chaos.proxy import CLAIM, Proxy
from tests.chaos.spare_server import SpareServer

pytestmark = pytest.mark.slow


@pytest.mark.default_lease
def test_w1_a_worker_is_killed_while_its_jobs_run(trial: Trial) -> None:
    victim, _ = trial.start_two()
    trial.ledger.add_work(RUNS, longest=1.0)
    trial.effects.wait_for("start", trial.some())

    trial.kill_at_work(victim)

    assert trial.finish() == []
    assert Run.objects.filter(crashes=1).exists()


@pytest.mark.lease(60.0)
@pytest.mark.parametrize(
    "job",
    [
        pytest.param("apart", marks=pytest.mark.thorough("postgresql")),
        pytest.param("enter_apart", marks=pytest.mark.thorough("sqlite")),
    ],
    ids=["plain", "atomic"],
)
def test_w2_the_child_of_one_job_is_killed(trial: Trial, job: str) -> None:
    """It takes no other run with it, and its run is given back at once: nobody waits for its lease to end."""
    worker = trial.start()
    trial.ledger.add(job, {"seconds": 600, "again": 0.1})
    first = min(trial.ledger.acknowledged)
    for _ in range(RUNS // 5):
        trial.ledger.add("apart", {"seconds": 0.3})
    trial.ledger.add_work(RUNS)
    victim = trial.wait_for_start(first).pid

    psutil.Process(victim).kill()
    trial.note_kill(victim)

    assert victim != worker.pid
    assert trial.finish() == []
    assert list(Run.objects.filter(crashes__gt=0).values_list("pk", "crashes")) == [(first, 1)]


@pytest.mark.thorough
def test_w3_a_supervisor_is_killed_and_leaves_its_workers_alone(trial: Trial) -> None:
    """They end by themselves, in their grace, and with them their children."""
    supervisor = trial.start_supervised()
    for _ in range(RUNS // 5):
        trial.ledger.add("apart", {"seconds": 0.3})
    trial.ledger.add_work(RUNS)
    trial.effects.wait_for("start", trial.some())

    supervisor.kill_supervisor()
    trial.faults += 1

    wait_until(lambda: not supervisor.family(), "nobody of the family is left")
    trial.start()
    assert trial.finish() == []
    assert set(trial.runs().values_list("crashes", "failures")) == {(0, 0)}


@pytest.mark.default_lease
@pytest.mark.thorough
@pytest.mark.postgresql
def test_w4_a_worker_is_killed_between_a_claim_and_the_first_line_of_the_jobs(
    server: SpareServer, proxy: Proxy, trial: Trial
) -> None:
    """It is killed when the server has committed the claim, and before it hears of that."""
    victim, _ = trial.start(environment=proxy.environment), trial.start()

    def strike(asked: bytes) -> bool:
        if CLAIM not in asked or victim.process.poll() is not None:
            return False
        trial.kill(victim)
        return True

    proxy.on_commit = strike
    trial.ledger.add_work(RUNS)
    wait_until(lambda: victim.process.poll() is not None, "it claims")
    claimed = set(
        Run.objects.in_state("running").filter(worker__contains=f":{victim.pid}:").values_list("pk", flat=True)
    )

    assert trial.finish() == []
    begun = {effect.run_id for effect in trial.effects.all("start") if effect.pid == victim.pid}
    assert claimed - begun, "it had begun all that it had claimed"


@pytest.mark.default_lease
def test_w5_a_worker_dies_after_the_work_and_before_it_is_written(trial: Trial) -> None:
    trial.start_two()
    trial.ledger.add("fall", {"how": "kill", "falls": 1})
    trial.ledger.add_work(RUNS)
    [fall] = trial.effects.wait_for("fall")
    trial.bury(fall.pid)
    trial.note_kill(fall.pid, fall.at)

    assert trial.finish() == []
    assert Run.objects.get(job="fall").attempt == 2


@pytest.mark.default_lease
@pytest.mark.thorough("sqlite")
def test_w6_a_worker_is_killed_as_soon_as_runs_are_completed(trial: Trial) -> None:
    victim, _ = trial.start_two()
    trial.ledger.add_work(RUNS)
    completed = trial.some()
    wait_until(lambda: Run.objects.in_state("completed").count() >= completed, "runs are completed")

    trial.kill(victim)

    assert trial.finish() == []


@pytest.mark.thorough("postgresql")
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
    assert set(trial.runs().values_list("crashes", "failures")) == {(0, 0)}


@pytest.mark.thorough
def test_w8_jobs_outlast_the_grace_of_a_worker_that_is_told_to_stop(trial: Trial) -> None:
    stopped = trial.start("--grace=0.5")
    for job in ("work", "apart"):
        trial.ledger.add(job, {"seconds": 60})
    long = Run.objects.filter(pk__in=trial.ledger.acknowledged)
    trial.effects.wait_for("start", 2)

    trial.expect_exit(stopped, stopped.stop(), 0)
    trial.faults += 1

    assert set(long.values_list("state", "releases", "crashes", "failures")) == {("pending", 1, 0, 0)}
    long.update(payload={"seconds": 0.1})
    trial.start()
    trial.ledger.add_work(RUNS)
    assert trial.finish() == []


@pytest.mark.thorough
def test_w9_a_worker_is_told_twice_to_stop(trial: Trial) -> None:
    """It hands back what it can, and is gone within two seconds."""
    hurried, _ = trial.start_two()
    trial.ledger.add_work(RUNS, longest=3.0)
    trial.effects.wait_for("start", 8)

    hurried.send(signal.SIGTERM)
    hurried.wait_for_line("worker_stopping")
    began = time.monotonic()
    trial.expect_exit(hurried, hurried.stop(), 3)
    trial.faults += 1

    assert time.monotonic() - began < 2
    assert trial.finish() == []
    assert set(trial.runs().values_list("crashes", "failures")) == {(0, 0)}


@pytest.mark.thorough
@pytest.mark.postgresql
def test_w10_workers_are_told_to_stop_in_the_middle_of_a_commit(
    server: SpareServer, proxy: Proxy, trial: Trial
) -> None:
    """One after the other, each with another commit, which may be one of a claim, of results, or of a schedule."""
    trial.start()
    trial.ledger.add_work(RUNS, longest=0.6)
    for number in range(5):
        victim = trial.start(environment=proxy.environment)
        _stop_at_commit(proxy, victim, trial.ledger.random.randrange(1, 4 + number))
        trial.expect_exit(victim, victim.wait(), 0)
        trial.faults += 1
        trial.ledger.add_work(RUNS // 10)

    assert trial.finish() == []
    assert set(trial.runs().values_list("crashes", "failures")) == {(0, 0)}


@pytest.mark.thorough
def test_w11_every_process_of_a_terminal_gets_ctrl_c(trial: Trial) -> None:
    supervisor = trial.start_supervised()
    trial.ledger.add("apart", {"seconds": 1})
    trial.ledger.add_work(RUNS)
    apart = Run.objects.get(job="apart").pk
    wait_until(lambda: any(effect.run_id == apart for effect in trial.effects.all("start")), "a child works")

    for process in supervisor.family():
        process.send_signal(signal.SIGINT)
    trial.faults += 1
    trial.expect_exit(supervisor, supervisor.wait(), 0)

    trial.start()
    assert trial.finish() == []
    assert set(trial.runs().values_list("crashes", "failures")) == {(0, 0)}


@pytest.mark.thorough
def test_w12_a_worker_gets_signals_that_it_has_no_use_for(trial: Trial) -> None:
    """It goes on; only where its terminal is gone, it ends in order."""
    first, second = trial.start_two()
    trial.ledger.add_work(RUNS)

    for number in (signal.SIGPIPE, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH):
        first.send(number)
        trial.faults += 1
        trial.effects.wait_for("start", len(trial.effects.all("start")) + RUNS // 10)
    second.send(signal.SIGHUP)
    trial.faults += 1
    trial.expect_exit(second, second.wait(), 0)

    assert trial.finish() == []
    assert set(trial.runs().values_list("crashes", "failures")) == {(0, 0)}


@pytest.mark.lease(1.0)
def test_w13_a_worker_freezes_for_three_leases(trial: Trial) -> None:
    frozen, _ = trial.start_two()
    trial.ledger.add_work(RUNS, longest=1.0)
    trial.effects.wait_for("start", trial.some(0.1, 0.3))

    frozen.send(signal.SIGSTOP)
    trial.faults += 1
    time.sleep(3 * trial.lease_seconds)  # it cannot tell that it has slept enough
    frozen.send(signal.SIGCONT)

    assert trial.finish() == []


@pytest.mark.thorough
def test_w14_a_worker_is_told_to_stop_while_its_jobs_are_busy_in_c(trial: Trial) -> None:
    """No job runs in the main thread, and so it says at once that it stops."""
    worker = trial.start()
    for _ in range(8):
        trial.ledger.add("crunch", {"seconds": 2})
    trial.effects.wait_for("start", 4)

    began = time.monotonic()
    worker.send(signal.SIGTERM)
    worker.wait_for_line("worker_stopping")
    assert time.monotonic() - began < 1
    trial.expect_exit(worker, worker.wait(), 0)
    trial.faults += 1

    trial.start()
    assert trial.finish() == []
    assert set(trial.runs().values_list("crashes", "failures")) == {(0, 0)}


def _stop_at_commit(proxy: Proxy, worker: WorkerProcess, number: int) -> None:
    """Tell *worker* to stop with its commit of that number: it is then waiting for the reply."""
    left = number

    def strike(asked: bytes) -> bool:
        nonlocal left
        left -= 1
        if left == 0:
            worker.send(signal.SIGTERM)
        return False

    proxy.on_commit = strike
    wait_until(lambda: left <= 0, f"it commits within {PATIENCE_SECONDS:g} s")
