"""``runjobs --processes``: several workers, and the supervisor that starts, watches, replaces and stops them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Any, TypeAlias

import psutil
import pytest

from django_jobqueue import RunContext, job, queues
from django_jobqueue.jobs import registry
from django_jobqueue.models import Run
from django_jobqueue.models import Worker as WorkerRow
from tests.acceptance.conftest import StartWorker
from tests.acceptance.programs import Effects, wait_until
from tests.acceptance.settings import LEASE_SECONDS
from tests.acceptance.supervised import AS_PROCESS_ONE, SupervisorProcess, Workshop, can_be_process_one

pytestmark = pytest.mark.slow

Supervise: TypeAlias = Callable[..., SupervisorProcess]


@pytest.fixture
def supervise(tmp_path: Path, project: None) -> Iterator[Supervise]:
    """Start ``runjobs --processes 2`` with more arguments; it ends with the test, and so do its workers."""
    with ExitStack() as programs:

        def supervise(*arguments: str, **options: Any) -> SupervisorProcess:
            return programs.enter_context(SupervisorProcess(["--processes=2", *arguments], tmp_path, **options))

        yield supervise


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """A project whose jobs the test may declare too, to add runs of them."""
    monkeypatch.setattr(registry, "_declared", dict(registry._declared))
    monkeypatch.setattr(registry, "_resolved", {})
    return Workshop(tmp_path)


def wait_until_all_is_done() -> None:
    wait_until(lambda: not Run.objects.live().exists(), "all runs end")


# --- Work ----------------------------------------------------------------------------------------------------------


def test_two_processes_share_the_work(supervise: Supervise, effects: Effects) -> None:
    supervisor = supervise("--concurrency=1").wait_until_ready()
    workers = supervisor.wait_until_working(2)

    ids = queues.default.bulk_add([{"job": "record_slowly"} for _ in range(100)])
    wait_until_all_is_done()

    assert Counter(effect.run_id for effect in effects.all()) == Counter(ids)
    assert {effect.pid for effect in effects.all()} == {worker.pid for worker in workers}
    assert "2 slots for default, notifications" in supervisor.output
    assert WorkerRow.objects.count() == 2
    assert supervisor.stop() == 0
    assert not WorkerRow.objects.exists()


def test_each_process_gives_its_queues_the_slots_that_the_command_names(supervise: Supervise, effects: Effects) -> None:
    supervisor = supervise("default:2", "notifications:1", "--strict").wait_until_ready()
    workers = supervisor.wait_until_working(2)

    ids = queues.default.bulk_add([{"job": "hold"} for _ in range(6)])
    waiting = effects.wait_for("start", 4)
    running = queues.default.runs(state="running").count()
    effects.open_gate()
    wait_until_all_is_done()

    assert running == 4
    assert Counter(effect.pid for effect in waiting) == {worker.pid: 2 for worker in workers}
    assert Counter(effect.run_id for effect in effects.all("start")) == Counter(ids)
    assert "6 slots for default:2, notifications:1" in supervisor.output
    rows = WorkerRow.objects.values_list("slots", "concurrency")
    assert list(rows) == [({"default": 2, "notifications": 1}, 3)] * 2
    assert supervisor.stop() == 0


def test_draining_ends_when_every_worker_has_nothing_left_to_do(supervise: Supervise, effects: Effects) -> None:
    ids = queues.default.bulk_add([{"job": "record"} for _ in range(50)])
    future = queues.default.add("record", delay_seconds=3600)

    supervisor = supervise("--drain")

    assert supervisor.wait() == 0
    assert sorted(effect.run_id for effect in effects.all()) == sorted(ids)
    future.refresh_from_db()
    assert future.state == "pending"
    assert not WorkerRow.objects.exists()
    assert supervisor.family() == []


def test_draining_waits_for_the_worker_that_is_busy(supervise: Supervise, effects: Effects) -> None:
    run = queues.default.add("hold")
    supervisor = supervise("--drain")
    effects.wait_for("start")
    wait_until(lambda: len(supervisor.workers()) == 1, "the idle worker ends")

    effects.open_gate()

    assert supervisor.wait() == 0
    run.refresh_from_db()
    assert (run.state, run.attempt) == ("completed", 1)


def test_two_supervisors_work_side_by_side(supervise: Supervise, effects: Effects) -> None:
    first, second = supervise(), supervise()
    wait_until(lambda: WorkerRow.objects.count() == 4, "four workers work")

    ids = queues.default.bulk_add([{"job": "record_slowly"} for _ in range(100)])
    wait_until_all_is_done()

    assert Counter(effect.run_id for effect in effects.all()) == Counter(ids)
    assert len(set(WorkerRow.objects.values_list("name", flat=True))) == 4
    assert [first.stop(), second.stop()] == [0, 0]


def test_what_two_workers_print_as_json_are_whole_objects(supervise: Supervise) -> None:
    ids = queues.default.bulk_add([{"job": "record"} for _ in range(100)])

    supervisor = supervise("--drain", "--log-format=json", stderr=subprocess.DEVNULL)

    assert supervisor.wait() == 0
    lines = [json.loads(line) for line in supervisor.lines]
    attempts = [line for line in lines if line["event"] == "attempt_ended"]
    assert all({"time", "event"} <= line.keys() for line in lines)
    assert sorted(line["run"] for line in attempts) == sorted(ids)
    assert {(line["queue"], line["job"], line["outcome"]) for line in attempts} == {("default", "record", "completed")}


# --- Workers that end ----------------------------------------------------------------------------------------------


def test_a_killed_worker_is_replaced_and_its_run_starts_again(supervise: Supervise, effects: Effects) -> None:
    run = queues.default.add("hold")
    supervisor = supervise()
    [first] = effects.wait_for("start")
    before = {worker.pid for worker in supervisor.wait_until_working(2)}

    killed_at = time.time()
    os.kill(first.pid, signal.SIGKILL)
    [again] = effects.wait_for("start", attempt=2)
    run.refresh_from_db()
    claimed_at = run.started_at
    supervisor.wait_for_line("was killed by signal 9; it is started again in 1 s.")
    wait_until(lambda: first.pid not in {worker.pid for worker in supervisor.workers()}, "the dead worker is buried")
    after = {worker.pid for worker in supervisor.wait_until_working(2)}
    effects.open_gate()
    wait_until_all_is_done()

    assert claimed_at is not None  # what comes then, on a busy machine, is the start of a child
    assert claimed_at.timestamp() - killed_at <= LEASE_SECONDS + 2
    assert again.pid != first.pid
    assert len(before & after) == 1
    run.refresh_from_db()
    assert (run.state, run.attempt, run.crashes, run.failures) == ("completed", 2, 1, 0)
    assert supervisor.stop() == 0


def test_a_worker_that_cannot_start_is_tried_again_until_it_can(supervise: Supervise, workshop: Workshop) -> None:
    supervisor = supervise(environment=workshop.environment).wait_until_ready()
    workers = supervisor.wait_until_working(2)

    workshop.break_settings()
    workers[0].kill()
    supervisor.wait_for_line("was killed by signal 9; it is started again in 1 s.")
    supervisor.wait_for_line("ended with exit code 1; it is started again in 2 s.")
    supervisor.wait_for_line("these settings are broken")
    workshop.mend_settings()
    supervisor.wait_until_working(2)

    assert supervisor.stop() == 0


def test_a_supervisor_that_waits_to_start_a_worker_again_stops_at_once(
    supervise: Supervise, workshop: Workshop
) -> None:
    supervisor = supervise(environment=workshop.environment).wait_until_ready()
    workers = supervisor.wait_until_working(2)
    workshop.break_settings()
    for worker in workers:
        worker.kill()
    supervisor.wait_for_line("it is started again in 4 s.")
    told_at = monotonic()

    exit_code = supervisor.stop()

    assert exit_code == 0
    assert monotonic() - told_at < 4
    assert supervisor.family() == []


# --- Stopping ------------------------------------------------------------------------------------------------------


def interrupt_group(supervisor: SupervisorProcess) -> None:
    """Ctrl-C: the terminal tells the whole foreground group."""
    os.killpg(supervisor.pid, signal.SIGINT)


def terminate_supervisor(supervisor: SupervisorProcess) -> None:
    supervisor.send(signal.SIGTERM)


def terminate_everybody(supervisor: SupervisorProcess) -> None:
    """As some platforms and ``systemd`` with its default ``KillMode`` do."""
    for process in supervisor.family():
        process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("stop", [terminate_supervisor, interrupt_group, terminate_everybody])
def test_running_jobs_finish_when_it_is_stopped(
    supervise: Supervise, effects: Effects, stop: Callable[[SupervisorProcess], None]
) -> None:
    runs = [queues.default.add("hold") for _ in range(2)]
    supervisor = supervise("--concurrency=1", "--grace=60")
    effects.wait_for("start", 2)
    later = queues.default.add("record")

    stop(supervisor)
    wait_until(lambda: supervisor.output.count("Stopping: finishing 1 run") == 2, "both workers begin to stop")
    effects.open_gate()

    assert supervisor.wait() == 0
    for run in runs:
        run.refresh_from_db()
        assert (run.state, run.attempt, run.releases) == ("completed", 1, 0)
    later.refresh_from_db()
    assert (later.state, later.attempt) == ("pending", 0)
    assert supervisor.family() == []
    assert not WorkerRow.objects.exists()
    assert "Traceback" not in supervisor.output


def test_workers_leave_ctrl_c_to_their_supervisor(supervise: Supervise, effects: Effects) -> None:
    queues.default.add("hold")
    supervisor = supervise()
    effects.wait_for("start")
    workers = supervisor.wait_until_working(2)

    for worker in workers:
        worker.send_signal(signal.SIGINT)
    effects.open_gate()
    wait_until_all_is_done()
    queues.default.add("record")
    effects.wait_for("start", 2)

    assert {os.getsid(worker.pid) for worker in workers} == {worker.pid for worker in workers}
    assert supervisor.workers() == workers
    assert supervisor.stop() == 0


def test_a_second_signal_ends_it_by_force(supervise: Supervise, effects: Effects) -> None:
    runs = [queues.default.add("hold") for _ in range(2)]
    supervisor = supervise("--concurrency=1", "--grace=3600")
    effects.wait_for("start", 2)
    supervisor.send(signal.SIGTERM)
    wait_until(lambda: supervisor.output.count("Stopping: finishing 1 run") == 2, "both workers begin to stop")

    supervisor.send(signal.SIGTERM)

    assert supervisor.wait() == 3
    for run in runs:
        run.refresh_from_db()
        assert (run.state, run.attempt, run.releases, run.crashes) == ("pending", 1, 1, 0)
    assert supervisor.family() == []


def test_runs_that_outlast_the_grace_are_handed_back(supervise: Supervise, effects: Effects) -> None:
    run = queues.default.add("hold")
    supervisor = supervise("--grace=0.3")
    effects.wait_for("start")

    exit_code = supervisor.stop()

    run.refresh_from_db()
    assert exit_code == 0
    assert (run.state, run.releases) == ("pending", 1)
    assert supervisor.family() == []


@pytest.mark.slow
def test_a_worker_that_hangs_is_killed_and_its_run_left_to_the_reapers(supervise: Supervise, effects: Effects) -> None:
    run = queues.default.add("hold")
    supervisor = supervise("--grace=0.2")
    [start] = effects.wait_for("start")
    supervisor.wait_until_working(2)
    os.kill(start.pid, signal.SIGSTOP)

    exit_code = supervisor.stop()

    assert exit_code == 3
    assert "did not stop in time, and is killed." in supervisor.output
    assert supervisor.family() == []
    run.refresh_from_db()
    assert run.state == "running"
    effects.open_gate()
    successor = supervise("--drain")
    wait_until_all_is_done()
    run.refresh_from_db()
    assert successor.wait() == 0
    assert (run.state, run.attempt, run.crashes) == ("completed", 2, 1)


@pytest.mark.slow
def test_supervisors_that_are_stopped_at_any_moment_account_for_every_run(
    supervise: Supervise, effects: Effects
) -> None:
    ids = queues.default.bulk_add([{"job": "record_slowly"} for _ in range(300)])

    for moment in range(2):
        supervisor = supervise("--concurrency=2").wait_until_ready()
        effects.wait_for("start", 40 * (moment + 1))
        terminate_everybody(supervisor)
        assert supervisor.wait() == 0
        assert not Run.objects.in_state("running").exists()
    last = supervise("--drain")

    assert last.wait() == 0
    assert sorted(effect.run_id for effect in effects.all("start")) == sorted(ids)
    assert set(Run.objects.values_list("state", "crashes", "failures")) == {("completed", 0, 0)}


# --- The supervisor vanishes ---------------------------------------------------------------------------------------


def test_workers_that_lost_their_supervisor_finish_and_end(supervise: Supervise, effects: Effects) -> None:
    run = queues.default.add("hold")
    supervisor = supervise("--grace=60")
    effects.wait_for("start")
    supervisor.wait_until_working(2)

    supervisor.kill_supervisor()
    supervisor.wait_for_line("Stopping: finishing 1 run")
    effects.open_gate()
    wait_until(lambda: not supervisor.family(), "the workers end")

    run.refresh_from_db()
    assert (run.state, run.attempt) == ("completed", 1)
    assert not WorkerRow.objects.exists()


def test_workers_that_lost_their_supervisor_hand_back_what_outlasts_their_grace(
    supervise: Supervise, effects: Effects
) -> None:
    run = queues.default.add("hold")
    supervisor = supervise("--grace=0.3")
    effects.wait_for("start")
    supervisor.wait_until_working(2)

    supervisor.kill_supervisor()
    wait_until(lambda: not supervisor.family(), "the workers end")

    run.refresh_from_db()
    assert (run.state, run.attempt, run.releases, run.crashes) == ("pending", 1, 1, 0)
    assert not WorkerRow.objects.exists()


# --- Programs that jobs start --------------------------------------------------------------------------------------


def test_as_process_1_it_collects_what_jobs_left_behind(
    supervise: Supervise, workshop: Workshop, effects: Effects
) -> None:
    if not can_be_process_one():
        pytest.skip("needs unshare, and the right to use it")
    workshop.jobs.write_text(
        "import subprocess\n"
        "from django_jobqueue import job\n"
        "@job\n"
        "def leave_behind():\n"
        '    subprocess.run(["/bin/sh", "-c", "exec 2>&1; sleep 3600 & touch $JOBQUEUE_TEST_EFFECTS/left"])\n'
    )

    @job
    def leave_behind() -> None:
        raise NotImplementedError

    supervisor = supervise(environment=workshop.environment, script=AS_PROCESS_ONE).wait_until_ready()
    [process_one] = psutil.Process(supervisor.pid).children()
    wait_until(lambda: WorkerRow.objects.count() == 2, "two workers work")
    workers = process_one.children()

    queues.default.add("leave_behind")
    wait_until(lambda: len(process_one.children()) == 3, "the program has lost its parent")
    [orphan] = set(process_one.children()) - set(workers)
    orphan.kill()
    wait_until(lambda: not orphan.is_running(), "it is buried")

    assert "Started as supervisor 1." in supervisor.output
    assert process_one.children() == workers
    process_one.terminate()
    assert supervisor.wait() == 0


def test_a_worker_that_would_be_process_1_has_another_process_collect_what_its_jobs_left_behind(
    start_worker: StartWorker, workshop: Workshop
) -> None:
    if not can_be_process_one():
        pytest.skip("needs unshare, and the right to use it")
    workshop.jobs.write_text(
        "import subprocess\n"
        "from django_jobqueue import job\n"
        "@job\n"
        "def leave_behind():\n"
        '    subprocess.run(["/bin/sh", "-c", "exec 2>&1; sleep 3600 &"])\n'
        '    return subprocess.run(["/bin/sh", "-c", "exit 7"]).returncode\n'
    )

    @job
    def leave_behind() -> None:
        raise NotImplementedError

    program = start_worker(environment=workshop.environment, script=AS_PROCESS_ONE)
    wait_until(WorkerRow.objects.exists, "it works")
    [process_one] = psutil.Process(program.pid).children()
    [worker] = process_one.children()

    run = queues.default.add("leave_behind")
    wait_until(lambda: len(process_one.children()) == 2, "the program has lost its parent")
    [orphan] = set(process_one.children()) - {worker}
    orphan.kill()
    wait_until(lambda: not orphan.is_running(), "it is buried")

    wait_until_all_is_done()
    run.refresh_from_db()
    assert (run.state, run.result) == ("completed", 7)
    assert process_one.memory_info().rss < worker.memory_info().rss / 2
    process_one.terminate()
    assert program.wait() == 0
    assert not WorkerRow.objects.exists()


def test_a_program_that_reads_its_input_does_not_take_the_order_to_stop(
    supervise: Supervise, workshop: Workshop, effects: Effects
) -> None:
    workshop.jobs.write_text(
        "import subprocess\n"
        "from django_jobqueue import RunContext, job\n"
        "from tests.shop.jobs import hold\n"
        "@job\n"
        "def read(*, run: RunContext):\n"
        '    program = subprocess.Popen(["cat"])  # as ssh does: it reads what it can get\n'
        "    try:\n"
        "        return hold(run=run)\n"
        "    finally:\n"
        "        program.kill()\n"
        "        program.wait()\n"
    )

    @job
    def read(*, run: RunContext) -> None:
        raise NotImplementedError

    added = queues.default.add("read")
    supervisor = supervise("--grace=5", environment=workshop.environment)
    effects.wait_for("start")
    supervisor.wait_until_working(2)

    supervisor.send(signal.SIGTERM)
    supervisor.wait_for_line("Stopping: finishing 1 run")
    wait_until(lambda: len(supervisor.workers()) == 1, "the idle worker ends")  # or it would take what is handed back
    supervisor.send(signal.SIGTERM)

    assert supervisor.wait() == 3
    added.refresh_from_db()
    assert (added.state, added.attempt, added.releases) == ("pending", 1, 1)


def test_supervisor_and_workers_each_have_a_liveness_file(supervise: Supervise, tmp_path: Path) -> None:
    files = [tmp_path / "alive", tmp_path / "alive.1", tmp_path / "alive.2"]
    supervisor = supervise("--processes=2", f"--liveness-file={files[0]}")

    wait_until(lambda: all(file.exists() for file in files), "all are there")

    assert supervisor.stop() == 0
    assert not [file for file in files if file.exists()]
