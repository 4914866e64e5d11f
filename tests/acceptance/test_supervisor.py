"""``runjobs --processes``: several workers, and the supervisor that starts, watches, replaces and stops them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias

import psutil
import pytest

from django_jobqueue import RunContext, job, queues
from django_jobqueue.jobs import registry
from django_jobqueue.models import Run
from django_jobqueue.models import Worker as WorkerRow
from tests.acceptance.conftest import StartWorker
from tests.acceptance.programs import Effects, end_leases, freeze, wait_until
from tests.acceptance.supervised import AS_PROCESS_ONE, SupervisorProcess, Workshop, can_be_process_one

# A supervisor touches no database. What workers do in it, whoever has started them, is asked in each one elsewhere.
pytestmark = [pytest.mark.slow, pytest.mark.sqlite]

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


def test_two_supervisors_share_the_work_each_process_in_the_slots_that_its_command_names(
    supervise: Supervise, effects: Effects
) -> None:
    plain, slotted = supervise("--concurrency=1"), supervise("default:2", "notifications:1", "--strict")
    slots = {worker.pid: 1 if worker.ppid() == plain.pid else 2 for worker in plain.wait_until_working(4)}
    for pid in slots:
        os.kill(pid, signal.SIGINT)  # a Ctrl-C that reaches workers, who leave it to their supervisor

    ids = queues.default.bulk_add([{"job": "hold"} for _ in range(8)])
    waiting = effects.wait_for("start", 6)
    running = queues.default.runs(state="running").count()
    effects.open_gate()
    wait_until_all_is_done()

    assert running == 6
    assert Counter(effect.pid for effect in waiting) == slots
    assert Counter(effect.run_id for effect in effects.all("start")) == Counter(ids)
    assert "2 slots for default, notifications" in plain.output
    assert "6 slots for default:2, notifications:1" in slotted.output
    rows = WorkerRow.objects.filter(concurrency=3).values_list("slots", flat=True)
    assert list(rows) == [{"default": 2, "notifications": 1}] * 2
    assert WorkerRow.objects.count() == 4
    assert {os.getsid(pid) for pid in slots} == slots.keys()
    assert [plain.stop(), slotted.stop()] == [0, 0]
    assert not WorkerRow.objects.exists()


def test_draining_ends_when_every_worker_has_nothing_left_to_do_and_what_they_print_as_json_are_whole_objects(
    supervise: Supervise, effects: Effects
) -> None:
    held = queues.default.add("hold", priority=1)
    ids = queues.default.bulk_add([{"job": "record"} for _ in range(100)])
    future = queues.default.add("record", delay_seconds=3600)

    supervisor = supervise("--drain", "--log-format=json", stderr=subprocess.DEVNULL)
    effects.wait_for("start", 101)
    wait_until(lambda: len(supervisor.workers()) == 1, "the idle worker ends, and the busy one does not")
    effects.open_gate()

    assert supervisor.wait() == 0
    assert sorted(effect.run_id for effect in effects.all("start")) == sorted([held.id, *ids])
    assert set(Run.objects.ended().values_list("state", "attempt")) == {("completed", 1)}
    future.refresh_from_db()
    assert future.state == "pending"
    assert not WorkerRow.objects.exists()
    assert supervisor.family() == []
    lines = [json.loads(line) for line in supervisor.lines]
    attempts = [line for line in lines if line["event"] == "attempt_ended"]
    assert all({"time", "event"} <= line.keys() for line in lines)
    assert sorted(line["run"] for line in attempts) == sorted([held.id, *ids])
    assert {(line["queue"], line["outcome"]) for line in attempts} == {("default", "completed")}


# --- Workers that end ----------------------------------------------------------------------------------------------


def test_a_killed_worker_is_replaced_and_its_run_starts_again(supervise: Supervise, effects: Effects) -> None:
    run = queues.default.add("hold")
    supervisor = supervise()
    [first] = effects.wait_for("start")
    before = {worker.pid for worker in supervisor.wait_until_working(2)}

    os.kill(first.pid, signal.SIGKILL)
    wait_until(lambda: first.pid not in {worker.pid for worker in supervisor.workers()}, "it is dead")
    end_leases(first.pid)
    [again] = effects.wait_for("start", attempt=2)
    supervisor.wait_for_line("was killed by signal 9; it is started again in 1 s.")
    after = {worker.pid for worker in supervisor.wait_until_working(2)}
    effects.open_gate()
    wait_until_all_is_done()

    assert again.pid != first.pid
    assert len(before & after) == 1
    run.refresh_from_db()
    assert (run.state, run.attempt, run.crashes, run.failures) == ("completed", 2, 1, 0)
    assert supervisor.stop() == 0


# --- Stopping ------------------------------------------------------------------------------------------------------


def terminate_supervisor(supervisor: SupervisorProcess) -> None:
    supervisor.send(signal.SIGTERM)


def terminate_everybody(supervisor: SupervisorProcess) -> None:
    """As some platforms and ``systemd`` with its default ``KillMode`` do."""
    for process in supervisor.family():
        process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("stop", [terminate_supervisor, terminate_everybody])
def test_running_jobs_finish_when_it_is_stopped(
    supervise: Supervise, effects: Effects, tmp_path: Path, stop: Callable[[SupervisorProcess], None]
) -> None:
    runs = [queues.default.add("hold") for _ in range(2)]
    files = [tmp_path / "alive", tmp_path / "alive.1", tmp_path / "alive.2"]
    supervisor = supervise("--concurrency=1", "--grace=60", f"--liveness-file={files[0]}")
    effects.wait_for("start", 2)
    wait_until(lambda: all(file.exists() for file in files), "supervisor and workers each have a liveness file")
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
    assert not [file for file in files if file.exists()]
    assert "Traceback" not in supervisor.output


def test_a_second_signal_ends_it_by_force_and_no_program_that_reads_its_input_takes_it(
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

    runs = [queues.default.add(name) for name in ("hold", "read")]
    supervisor = supervise("--concurrency=1", "--grace=3600", environment=workshop.environment)
    effects.wait_for("start", 2)
    supervisor.send(signal.SIGTERM)
    wait_until(lambda: supervisor.output.count("Stopping: finishing 1 run") == 2, "both workers begin to stop")

    supervisor.send(signal.SIGTERM)

    assert supervisor.wait() == 3
    for run in runs:
        run.refresh_from_db()
        assert (run.state, run.attempt, run.releases, run.crashes) == ("pending", 1, 1, 0)
    assert supervisor.family() == []


def test_a_worker_that_hangs_is_killed_and_what_outlasts_the_grace_of_another_is_handed_back(
    supervise: Supervise, effects: Effects
) -> None:
    for _ in range(2):
        queues.default.add("hold")
    supervisor = supervise("--concurrency=1", "--grace=0.2")
    hanging, busy = effects.wait_for("start", 2)
    supervisor.wait_until_working(2)
    freeze(hanging.pid)

    supervisor.send(signal.SIGSTOP)  # it is to find only one of them, however long the other one takes to its end
    for stopped in (supervisor.pid, busy.pid):
        os.kill(stopped, signal.SIGTERM)
    wait_until(lambda: psutil.Process(busy.pid).status() == psutil.STATUS_ZOMBIE, "the busy one ends")
    supervisor.send(signal.SIGCONT)

    assert supervisor.wait() == 3
    assert supervisor.output.count("did not stop in time, and is killed.") == 1
    assert supervisor.family() == []
    assert Run.objects.get(state="pending").releases == 1
    left = Run.objects.get(state="running")  # to the reapers, as any run of a worker that was killed
    assert left.pk == hanging.run_id
    assert left.worker is not None
    assert f":{hanging.pid}:" in left.worker
    assert left.lease_until is not None


def test_a_supervisor_that_is_stopped_at_any_moment_accounts_for_every_run(
    supervise: Supervise, effects: Effects
) -> None:
    ids = queues.default.bulk_add([{"job": "record_slowly"} for _ in range(300)])
    supervisor = supervise("--concurrency=2")

    effects.wait_for("start", 40)
    terminate_everybody(supervisor)

    assert supervisor.wait() == 0
    started = [effect.run_id for effect in effects.all("start")]
    assert len(set(started)) == len(started)
    assert set(Run.objects.in_state("completed").values_list("pk", flat=True)) == set(started)
    assert Run.objects.in_state("pending").count() == len(ids) - len(started)
    assert set(Run.objects.values_list("crashes", "failures")) == {(0, 0)}


# --- The supervisor vanishes ---------------------------------------------------------------------------------------


def test_workers_that_lost_their_supervisor_finish_hand_back_what_outlasts_their_grace_and_end(
    supervise: Supervise, workshop: Workshop, effects: Effects
) -> None:
    workshop.jobs.write_text(
        "from threading import Event\n"
        "from django_jobqueue import RunContext, job\n"
        "from tests.shop.jobs import record\n"
        "@job\n"
        "def outlast(*, run: RunContext):\n"
        "    record(run=run)\n"
        "    Event().wait(3600)\n"
    )

    @job
    def outlast(*, run: RunContext) -> None:
        raise NotImplementedError

    held, outlasting = queues.default.add("hold"), queues.default.add("outlast")
    supervisor = supervise("--concurrency=1", "--grace=12", environment=workshop.environment)
    effects.wait_for("start", 2)
    supervisor.wait_until_working(2)

    supervisor.kill_supervisor()
    wait_until(lambda: supervisor.output.count("Stopping: finishing 1 run") == 2, "both workers begin to stop")
    effects.open_gate()
    wait_until(lambda: not supervisor.family(), "the workers end")

    held.refresh_from_db()
    outlasting.refresh_from_db()
    assert (held.state, held.attempt, held.releases) == ("completed", 1, 0)
    assert (outlasting.state, outlasting.attempt, outlasting.releases, outlasting.crashes) == ("pending", 1, 1, 0)
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
