"""The children of a worker end with it, however it ends."""

from __future__ import annotations

import re

import psutil
import pytest

from django_jobqueue import queues
from django_jobqueue.models import Run
from tests.acceptance.conftest import StartWorker
from tests.acceptance.programs import Effects, wait_until

pytestmark = pytest.mark.sqlite  # Children ask no database but for their jobs.


def test_the_children_of_a_killed_worker_end_and_their_runs_start_again(
    start_worker: StartWorker, effects: Effects
) -> None:
    """One waits in Python; the other in C, where it cannot hear of anything."""
    for name in ("linger", "seize"):
        queues.default.add(name)
    first = start_worker("--concurrency=2")
    begun = {effect.pid for effect in effects.wait_for("start", 2)}
    children = [psutil.Process(pid) for pid in begun]
    assert first.pid not in begun
    assert len(begun) == 2

    first.kill()
    wait_until(
        lambda: not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children),
        "the children end",
    )
    second = start_worker("--concurrency=2", "--grace=0")
    again = {effect.pid for effect in effects.wait_for("start", 2, attempt=2)}

    assert not again & {first.pid, second.pid, *begun}
    assert set(Run.objects.values_list("crashes", flat=True)) == {1}
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
