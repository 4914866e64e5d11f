"""``runjobs`` from its start to its end, in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from django.db import transaction

from django_jobqueue import queues
from django_jobqueue.models import Run
from tests.acceptance.conftest import StartWorker
from tests.acceptance.programs import Effects, wait_until


def test_draining_works_all_that_is_due_and_ends(start_worker: StartWorker, effects: Effects) -> None:
    due = queues.default.bulk_add([{"job": "record"} for _ in range(5)])
    summed = queues.default.add("add_up", {"a": 2, "b": 3})
    future = queues.default.add("record", delay_seconds=3600)

    worker = start_worker("--drain")

    assert worker.wait() == 0
    assert sorted(effect.run_id for effect in effects.all()) == sorted(due)
    summed.refresh_from_db()
    future.refresh_from_db()
    assert (summed.state, summed.result, future.state) == ("completed", 5, "pending")
    assert "default, notifications" in worker.output
    lines = [line for line in worker.lines if "✓ default.record" in line]
    assert len(lines) == 5
    assert "Traceback" not in worker.output


def test_what_jobs_leave_behind_keeps_no_worker_from_its_end(start_worker: StartWorker, effects: Effects) -> None:
    run = queues.default.add("leave_thread")

    worker = start_worker("--drain", "--grace=0")

    assert worker.wait() == 0
    assert Run.objects.get(pk=run.pk).state == "completed"
    assert "does not come to its end by itself, and is ended. Its threads: MainThread, left behind_0." in worker.output


def test_a_worker_picks_up_runs_that_are_added_after_its_start(start_worker: StartWorker, effects: Effects) -> None:
    worker = start_worker().wait_until_ready()

    run = queues.default.add("record")
    [effect] = effects.wait_for("start")

    assert effect.run_id == run.id
    assert worker.stop() == 0


def test_a_run_added_in_a_transaction_that_is_rolled_back_never_runs(
    start_worker: StartWorker, effects: Effects
) -> None:
    start_worker().wait_until_ready()

    with transaction.atomic():
        queues.default.add("record", priority=100)
        queues.default.bulk_add([{"job": "record", "priority": 100}])
        transaction.set_rollback(True)
    kept = queues.default.add("record")
    effects.wait_for("start")
    wait_until(lambda: Run.objects.get(pk=kept.pk).state == "completed", "the other run is completed")

    assert [effect.run_id for effect in effects.all()] == [kept.id]
    assert Run.objects.count() == 1


def test_a_run_added_in_a_transaction_starts_only_after_the_commit(start_worker: StartWorker, effects: Effects) -> None:
    start_worker().wait_until_ready()

    with transaction.atomic():
        run = queues.default.add("record")
        pause = time.monotonic() + 0.5  # several polls
        wait_until(lambda: time.monotonic() > pause, "time goes by")
        before = effects.all()
        committing_at = time.time()
    [effect] = effects.wait_for("start")

    assert before == []
    assert effect.run_id == run.id
    assert effect.at >= committing_at


def test_two_workers_start_each_of_300_runs_once(start_worker: StartWorker, effects: Effects) -> None:
    workers = [start_worker("--concurrency=4") for _ in range(2)]
    for worker in workers:
        worker.wait_until_ready()

    ids = queues.default.bulk_add([{"job": "record_slowly"} for _ in range(300)])
    wait_until(lambda: not Run.objects.live().exists(), "all runs end")

    assert Counter(effect.run_id for effect in effects.all()) == Counter(ids)
    assert {effect.pid for effect in effects.all()} == {worker.pid for worker in workers}
    assert set(Run.objects.values_list("state", "attempt")) == {("completed", 1)}
    assert [worker.stop() for worker in workers] == [0, 0]


def test_only_the_named_queues_are_worked(start_worker: StartWorker, effects: Effects) -> None:
    run = queues.default.add("record")

    worker = start_worker("notifications", "--drain")

    assert worker.wait() == 0
    run.refresh_from_db()
    assert run.state == "pending"


def test_a_wrong_queue_name_is_refused_with_the_nearest_one(start_worker: StartWorker) -> None:
    worker = start_worker("notfications")

    assert worker.wait() == 1
    assert "'notfications' is not a queue. Did you mean 'notifications'?" in worker.output
    assert "Traceback" not in worker.output


def test_broken_settings_are_refused_with_everything_that_is_wrong(start_worker: StartWorker) -> None:
    worker = start_worker(environment={"DJANGO_SETTINGS_MODULE": "tests.acceptance.broken_settings"})

    assert worker.wait() == 1
    assert "JOBQUEUE[\"worker\"]: unknown option 'concurency'. Did you mean 'concurrency'?" in worker.output
    assert 'JOBQUEUE["queues"]["mail"]["lease_seconds"]: must be a number' in worker.output
    assert "Traceback" not in worker.output


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_output_that_is_not_utf_8_shows_what_it_can(
    start_worker: StartWorker, effects: Effects, encoding: str
) -> None:
    run = queues.default.add("record")

    worker = start_worker("--drain", environment={"PYTHONIOENCODING": encoding})

    assert worker.wait() == 0
    assert len(effects.all()) == 1
    assert f"#{run.id}" in worker.output


def test_an_output_that_nobody_reads_any_more_does_not_stop_the_work(
    start_worker: StartWorker, effects: Effects
) -> None:
    reader = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    worker = start_worker(stdout=reader.stdin, stderr=subprocess.DEVNULL)
    assert reader.stdin is not None
    reader.stdin.close()
    reader.wait()  # it has read one line

    ids = queues.default.bulk_add([{"job": "record"} for _ in range(5)])
    effects.wait_for("start", 5)
    wait_until(lambda: not Run.objects.live().exists(), "all runs end")

    assert sorted(effect.run_id for effect in effects.all()) == sorted(ids)
    assert worker.stop() == 0


def test_a_worker_without_any_output_works(start_worker: StartWorker, effects: Effects) -> None:
    run = queues.default.add("record")

    worker = start_worker("--drain", script='exec "$0" "$@" >&- 2>&-')

    assert worker.wait() == 0
    assert [effect.run_id for effect in effects.all()] == [run.id]


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGPIPE])
def test_nothing_is_lost_by_any_other_signal(
    start_worker: StartWorker, effects: Effects, number: signal.Signals
) -> None:
    run = queues.default.add("hold")
    worker = start_worker()
    effects.wait_for("start")

    worker.send(number)
    start_worker().wait_until_ready()
    effects.open_gate()
    wait_until(lambda: Run.objects.get(pk=run.pk).state == "completed", "the run is completed, by whichever worker")

    run.refresh_from_db()
    assert run.failures == 0


def test_a_worker_touches_its_liveness_file_while_it_lives_and_takes_it_away_when_it_ends(
    start_worker: StartWorker, effects: Effects, tmp_path: Path
) -> None:
    file = tmp_path / "alive"
    worker = start_worker(f"--liveness-file={file}").wait_until_ready()
    wait_until(file.exists, "the file is there")
    first = file.stat().st_mtime

    wait_until(lambda: file.stat().st_mtime > first, "it is touched again, though there is nothing to do")
    queues.default.add("hold")
    effects.wait_for("start")
    busy = file.stat().st_mtime
    wait_until(lambda: file.stat().st_mtime > busy, "it is touched while a job runs")
    worker.send(signal.SIGSTOP)
    frozen = file.stat().st_mtime
    time.sleep(1.5)  # nothing is to happen
    assert file.stat().st_mtime == frozen
    worker.send(signal.SIGCONT)
    effects.open_gate()

    assert worker.stop() == 0
    assert not file.exists()


def test_a_liveness_file_that_cannot_be_written_stops_no_work(start_worker: StartWorker, effects: Effects) -> None:
    worker = start_worker("--liveness-file=/proc/alive")
    queues.default.add("record")
    effects.wait_for("start")

    assert worker.stop() == 0
    assert worker.output.count("The liveness file cannot be written") == 1
