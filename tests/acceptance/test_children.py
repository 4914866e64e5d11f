"""The children of a worker end with it, however it ends."""

from __future__ import annotations

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


def test_the_logs_and_prints_of_a_child_come_out_where_those_of_its_worker_do(
    start_worker: StartWorker, effects: Effects
) -> None:
    queues.default.add("report")

    worker = start_worker("--drain")

    assert worker.wait() == 0
    assert "printed by a child" in worker.output
    assert "logged by a child" in worker.output
