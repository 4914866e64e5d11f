"""What workers in processes of their own start, work and leave, in each database."""

from __future__ import annotations

import time
from collections import Counter
from functools import partial

import pytest
from django.db import transaction

from django_jobqueue import queues
from django_jobqueue.models import Run
from django_jobqueue.models import Worker as WorkerRow
from tests.acceptance.conftest import StartWorker
from tests.acceptance.programs import Effects, WorkerProcess, wait_until


def test_an_idle_worker_starts_a_run_once_it_is_committed_never_if_it_is_rolled_back_and_stops_at_once(
    start_worker: StartWorker, effects: Effects
) -> None:
    worker = start_worker("--grace=3600").wait_until_ready()

    with transaction.atomic():
        queues.default.add("record", priority=100)
        queues.default.bulk_add([{"job": "record", "priority": 100}])
        transaction.set_rollback(True)
    with transaction.atomic():
        run = queues.default.add("record")
        pause = time.monotonic() + 0.5  # several polls
        wait_until(lambda: time.monotonic() > pause, "time goes by")
        before = effects.all()
        committing_at = time.time()
    [effect] = effects.wait_for("start")
    wait_until(lambda: Run.objects.get().state == "completed", "the run, which is the only one, is completed")

    assert before == []
    assert effect.run_id == run.id
    assert effect.at >= committing_at
    assert worker.stop() == 0
    assert len(effects.all()) == 1
    assert not WorkerRow.objects.exists()
    assert "default, notifications" in worker.output


def test_a_worker_that_is_told_to_stop_while_it_is_busy_with_short_runs_loses_none(
    start_worker: StartWorker, effects: Effects
) -> None:
    ids = queues.default.bulk_add([{"job": "record"} for _ in range(2000)])
    worker = start_worker("--concurrency=4", "--verbosity=0")
    effects.wait_for("start", 100)

    exit_code = worker.stop()

    assert exit_code == 0
    started = [effect.run_id for effect in effects.all("start")]
    assert len(set(started)) == len(started)
    assert not Run.objects.in_state("running").exists()
    assert set(Run.objects.in_state("completed").values_list("pk", flat=True)) == set(started)
    assert Run.objects.in_state("pending").count() == len(ids) - len(started)


@pytest.mark.slow
def test_workers_start_each_run_once_and_account_for_all_though_they_are_stopped_at_any_moment(
    start_worker: StartWorker, effects: Effects
) -> None:
    workers = [start_worker("--concurrency=2") for _ in range(4)]
    for worker in workers:
        worker.wait_until_ready()
    *stopped, last = workers

    ids: list[int | None] = []

    def is_busy(worker: WorkerProcess) -> bool:
        """There is always work for it, however late it comes."""
        if Run.objects.live().count() < 50:
            ids.extend(queues.default.bulk_add([{"job": "record_slowly"} for _ in range(100)]))
        return started_by(worker, effects) >= 10

    for worker in stopped:
        wait_until(partial(is_busy, worker), "it is in the middle of its work")
        assert worker.stop() == 0
        assert not Run.objects.in_state("running").filter(worker=worker.name).exists()
    wait_until(partial(is_busy, last), "the last one works, too")
    wait_until(lambda: not Run.objects.live().exists(), "all runs end")

    assert last.stop() == 0
    assert {effect.pid for effect in effects.all()} == {worker.pid for worker in workers}
    assert Counter(effect.run_id for effect in effects.all()) == Counter(ids)
    assert set(Run.objects.values_list("state", "crashes", "failures")) == {("completed", 0, 0)}


def started_by(worker: WorkerProcess, effects: Effects) -> int:
    return sum(effect.pid == worker.pid for effect in effects.all())
