"""``runjobs --reload``: workers that follow the code while it is being written."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Any, TypeAlias

import pytest

from django_jobqueue import RunContext, job, queues
from django_jobqueue.jobs import registry
from django_jobqueue.models import Run
from django_jobqueue.models import Worker as WorkerRow
from tests.acceptance.programs import Effects, wait_until
from tests.acceptance.supervised import SupervisorProcess, Workshop

pytestmark = [pytest.mark.slow, pytest.mark.sqlite]  # what they ask depends on no database

Supervise: TypeAlias = Callable[..., SupervisorProcess]

JOBS = """
from django_jobqueue import RunContext, job
from tests.shop.jobs import hold

@job
def tell():
    return {answer!r}

@job
def hold_and_tell(*, run: RunContext):
    hold(run=run)
    return {answer!r}
"""
OLD, NEW = JOBS.format(answer="old"), JOBS.format(answer="new")
BROKEN = "def tell(:\n"


@pytest.fixture
def workshop(tmp_path: Path, project: None, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """A project in debug mode with two jobs, which the test declares too, to add runs of them."""
    monkeypatch.setattr(registry, "_declared", dict(registry._declared))
    monkeypatch.setattr(registry, "_resolved", {})

    @job
    def tell() -> None:
        raise NotImplementedError

    @job
    def hold_and_tell(*, run: RunContext) -> None:
        raise NotImplementedError

    workshop = Workshop(tmp_path)
    with workshop.settings.open("a") as settings:
        settings.write("DEBUG = True\n")
    workshop.jobs.write_text(OLD)
    return workshop


@pytest.fixture
def supervise(tmp_path: Path, workshop: Workshop) -> Iterator[Supervise]:
    """Start ``runjobs``, which reloads in debug mode; it ends with the test, and so do its workers."""
    with ExitStack() as programs:

        def supervise(*arguments: str, **options: Any) -> SupervisorProcess:
            supervisor = SupervisorProcess(arguments, tmp_path, environment=workshop.environment, **options)
            return programs.enter_context(supervisor)

        yield supervise


def result_of(run: Run) -> object:
    wait_until(lambda: Run.objects.get(pk=run.pk).state == "completed", "the run is completed")
    run.refresh_from_db()
    return run.result


def test_a_running_job_ends_with_the_old_code_and_all_workers_have_the_new(
    supervise: Supervise, workshop: Workshop, effects: Effects
) -> None:
    running = queues.default.add("hold_and_tell")
    supervisor = supervise("--processes=2", "--grace=60")
    effects.wait_for("start")
    before = supervisor.wait_until_working(2)

    def both_have_seen_it() -> bool:
        idle_one_has_left = not all(worker.is_running() for worker in before)
        return idle_one_has_left and "Stopping: finishing 1 run" in supervisor.output

    workshop.change_jobs(NEW, both_have_seen_it)
    following = queues.default.add("tell")
    effects.open_gate()

    assert result_of(running) == "old"
    assert result_of(following) == "new"
    assert (running.attempt, running.releases) == (1, 0)
    wait_until(lambda: not any(worker.is_running() for worker in before), "both workers follow")
    supervisor.wait_until_working(2)
    assert "it is started again" not in supervisor.output
    assert supervisor.stop() == 0
    assert supervisor.family() == []


def test_a_job_that_outlasts_the_grace_starts_again_with_the_new_code(
    supervise: Supervise, workshop: Workshop, effects: Effects
) -> None:
    running = queues.default.add("hold_and_tell")
    supervise("--grace=0.3")
    effects.wait_for("start")

    workshop.change_jobs(NEW, lambda: effects.all("start")[-1].attempt > 1)
    effects.open_gate()

    assert result_of(running) == "new"
    assert (running.failures, running.crashes) == (0, 0)
    assert running.releases >= 1


def test_a_worker_whose_code_is_broken_comes_back_once_it_is_mended_and_ctrl_c_does_not_wait_for_that(
    supervise: Supervise, workshop: Workshop
) -> None:
    supervisor = supervise()
    supervisor.wait_until_working(1)

    workshop.change_jobs(BROKEN, lambda: "it is started again in 1 s." in supervisor.output)
    supervisor.wait_for_line("SyntaxError")
    workshop.jobs.write_text(NEW)
    run = queues.default.add("tell")
    assert result_of(run) == "new"

    waits = supervisor.output.count("it is started again")
    workshop.change_jobs(BROKEN, lambda: supervisor.output.count("it is started again") > waits)
    os.killpg(supervisor.pid, signal.SIGINT)

    assert supervisor.wait() == 0
    assert supervisor.family() == []


def test_ctrl_c_lets_the_running_job_finish(supervise: Supervise, effects: Effects) -> None:
    run = queues.default.add("hold_and_tell")
    supervisor = supervise("--grace=60")
    effects.wait_for("start")

    os.killpg(supervisor.pid, signal.SIGINT)
    supervisor.wait_for_line("Stopping: finishing 1 run")
    effects.open_gate()

    assert supervisor.wait() == 0
    assert result_of(run) == "old"
    assert "Traceback" not in supervisor.output
    assert supervisor.family() == []


def test_a_second_ctrl_c_hands_the_running_job_back(supervise: Supervise, effects: Effects) -> None:
    run = queues.default.add("hold_and_tell")
    supervisor = supervise("--grace=60")
    effects.wait_for("start")
    os.killpg(supervisor.pid, signal.SIGINT)
    supervisor.wait_for_line("Stopping: finishing 1 run")

    os.killpg(supervisor.pid, signal.SIGINT)

    assert supervisor.wait() == 3
    run.refresh_from_db()
    assert (run.state, run.releases) == ("pending", 1)


def test_one_ctrl_c_after_a_change_still_lets_the_running_job_finish(
    supervise: Supervise, workshop: Workshop, effects: Effects
) -> None:
    run = queues.default.add("hold_and_tell")
    supervisor = supervise("--grace=60")
    effects.wait_for("start")
    workshop.change_jobs(NEW, lambda: "Stopping: finishing 1 run" in supervisor.output)

    os.killpg(supervisor.pid, signal.SIGINT)
    pause = monotonic() + 1
    wait_until(lambda: Run.objects.get(pk=run.pk).state != "running" or monotonic() > pause, "it is told")
    effects.open_gate()

    assert supervisor.wait() == 0
    run.refresh_from_db()
    assert (run.state, run.releases) == ("completed", 0)


def test_draining_ends_with_the_last_run_and_a_failing_job_names_the_line_to_look_at(
    tmp_path: Path, workshop: Workshop
) -> None:
    workshop.jobs.write_text(
        "import json\nfrom django_jobqueue import job\n@job(max_attempts=1)\ndef tell():\n    json.loads('{')\n"
    )
    queues.default.add("tell")

    with SupervisorProcess(["--reload", "--drain"], tmp_path, environment=workshop.environment) as program:
        assert program.wait() == 0

    assert "Started as supervisor" in program.output
    [line] = [line for line in program.lines if "default.tell" in line]
    assert "JSONDecodeError: " in line
    assert f"; {workshop.jobs}:5; " in line
    assert "Traceback" not in program.output


def test_in_debug_mode_whoever_is_told_so_waits_for_no_code(tmp_path: Path, workshop: Workshop) -> None:
    with SupervisorProcess(["--no-reload"], tmp_path, environment=workshop.environment) as program:
        wait_until(WorkerRow.objects.exists, "the worker works")

        assert program.stop() == 0

    assert "Started as supervisor" not in program.output


def test_in_debug_mode_who_drains_waits_for_no_code(tmp_path: Path, workshop: Workshop) -> None:
    with SupervisorProcess(["--drain"], tmp_path, environment=workshop.environment) as program:
        assert program.wait() == 0

    assert "Started as supervisor" not in program.output
