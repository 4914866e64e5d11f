"""The children of a worker end with it, however it ends."""

from __future__ import annotations

import re
import signal

import psutil
import pytest

from django_jobqueue import queues
from django_jobqueue.models import Run
from tests.acceptance.conftest import StartWorker
from tests.acceptance.programs import Effects, wait_until


@pytest.mark.parametrize("name", ["linger", "seize"])
def test_the_children_of_a_killed_worker_end_and_their_run_starts_again(
    start_worker: StartWorker, effects: Effects, name: str
) -> None:
    run = queues.default.add(name)
    first = start_worker("--concurrency=1")
    [begun] = effects.wait_for("start")
    child = psutil.Process(begun.pid)
    assert begun.pid != first.pid

    first.send(signal.SIGKILL)
    first.wait()
    wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, "the child ends")
    second = start_worker("--concurrency=1", "--grace=0")
    [again] = effects.wait_for("start", attempt=2)

    assert again.pid not in (first.pid, second.pid, begun.pid)
    assert Run.objects.get(pk=run.pk).crashes == 1
    assert second.stop() == 0


def test_the_logs_and_prints_of_a_child_come_out_where_those_of_its_worker_do_and_no_job_can_close_them(
    start_worker: StartWorker, effects: Effects
) -> None:
    runs = [queues.default.add(name) for name in ("report", "report", "report_here", "report_here")]

    worker = start_worker("--drain", "--concurrency=1")

    assert worker.wait() == 0
    assert set(Run.objects.values_list("state", "attempt")) == {("completed", 1)}
    for who in ("child", "thread"):
        assert worker.output.count(f"printed by a {who}") == 2
        assert len(re.findall(rf"^\d\d:\d\d:\d\d ! logged by a {who}$", worker.output, re.MULTILINE)) == 2
    assert worker.output.count("✓") == len(runs)
