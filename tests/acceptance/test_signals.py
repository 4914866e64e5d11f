"""How ``runjobs`` obeys the signals that an operating system, a supervisor or a person sends."""

from __future__ import annotations

import os
import re
import signal

import pytest

from django_jobqueue import queues
from django_jobqueue.models import Worker as WorkerRow
from tests.acceptance.conftest import StartWorker
from tests.acceptance.programs import Effects

pytestmark = pytest.mark.sqlite  # No database is asked: what is done in each one is in test_work.py.

hangs_up = pytest.mark.skipif(
    signal.getsignal(signal.SIGHUP) is signal.SIG_IGN, reason="Under nohup no worker heeds a terminal that is closed."
)


@hangs_up
def test_a_terminal_that_is_closed_says_so_twice_and_jobs_may_end_all_the_same(
    start_worker: StartWorker, effects: Effects
) -> None:
    run = queues.default.add("hold")
    worker = start_worker()
    effects.wait_for("start")

    worker.send(signal.SIGHUP)
    worker.wait_for_line("Stopping: finishing 1 run")
    worker.send(signal.SIGHUP)
    effects.open_gate()

    assert worker.wait() == 0
    run.refresh_from_db()
    assert (run.state, run.attempt) == ("completed", 1)


def test_signals_that_mean_nothing_to_a_worker_do_not_end_it_and_cost_no_run(
    start_worker: StartWorker, effects: Effects
) -> None:
    held = queues.default.add("hold")
    worker = start_worker(script='trap \'\' HUP; exec "$0" "$@"')
    effects.wait_for("start")

    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE, signal.SIGHUP):
        worker.send(number)
    queues.default.add("record")

    effects.wait_for("start", 2)
    effects.open_gate()
    assert worker.stop() == 0
    held.refresh_from_db()
    assert (held.state, held.attempt) == ("completed", 1)


def test_a_busy_worker_finishes_its_run_first(start_worker: StartWorker, effects: Effects) -> None:
    run = queues.default.add("hold")
    worker = start_worker("--concurrency=1")
    effects.wait_for("start")
    later = queues.default.add("record")

    worker.send(signal.SIGTERM)
    worker.wait_for_line("Stopping: finishing 1 run")
    effects.open_gate()

    assert worker.wait() == 0
    run.refresh_from_db()
    later.refresh_from_db()
    assert (run.state, run.attempt, run.releases) == ("completed", 1, 0)
    assert (later.state, later.attempt) == ("pending", 0)
    assert not WorkerRow.objects.exists()


def test_a_run_that_outlasts_the_grace_is_handed_to_the_next_worker(
    start_worker: StartWorker, effects: Effects
) -> None:
    run = queues.default.add("hold", max_attempts=1)
    worker = start_worker("--grace=0.5")
    effects.wait_for("start")

    exit_code = worker.stop()

    run.refresh_from_db()
    assert exit_code == 0
    assert (run.state, run.attempt, run.releases, run.failures, run.crashes) == ("pending", 1, 1, 0, 0)
    assert run.attempts.get().outcome == "released"
    assert re.search(
        rf"↩ default\.hold +#{run.id} +-  The worker was stopped before the job had ended; again", worker.output
    )

    effects.open_gate()
    successor = start_worker("--drain")

    assert successor.wait() == 0
    run.refresh_from_db()
    assert (run.state, run.attempt, run.result) == ("completed", 2, "by attempt 2")


def test_a_second_signal_ends_the_worker_by_force(start_worker: StartWorker, effects: Effects) -> None:
    run = queues.default.add("hold")
    worker = start_worker("--grace=3600")
    effects.wait_for("start")
    worker.send(signal.SIGTERM)
    worker.wait_for_line("Stopping: finishing 1 run")

    worker.send(signal.SIGTERM)

    assert worker.wait() == 3
    run.refresh_from_db()
    assert (run.state, run.releases) == ("pending", 1)


def test_a_ctrl_c_to_the_whole_group_lets_the_run_finish(start_worker: StartWorker, effects: Effects) -> None:
    run = queues.default.add("hold")
    worker = start_worker()
    effects.wait_for("start")

    os.killpg(worker.pid, signal.SIGINT)
    worker.wait_for_line("Stopping: finishing 1 run")
    effects.open_gate()

    assert worker.wait() == 0
    run.refresh_from_db()
    assert (run.state, run.attempt) == ("completed", 1)
    assert "Traceback" not in worker.output
