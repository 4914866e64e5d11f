"""``runjobs`` from its start to its end, in a process of its own: its arguments, its output, its liveness file."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from django_jobqueue import queues
from django_jobqueue.models import Run
from tests.acceptance.conftest import StartWorker
from tests.acceptance.programs import Effects, wait_until

pytestmark = pytest.mark.sqlite  # No database is asked: what is done in each one is in test_work.py.


def test_draining_works_all_of_the_named_queues_that_is_due_and_ends(
    start_worker: StartWorker, effects: Effects
) -> None:
    due = queues.default.bulk_add([{"job": "record"} for _ in range(5)])
    summed = queues.default.add("add_up", {"a": 2, "b": 3})
    left = [queues.default.add("record", delay_seconds=3600), queues.notifications.add("record")]

    worker = start_worker("default", "--drain")

    assert worker.wait() == 0
    assert sorted(effect.run_id for effect in effects.all()) == sorted(due)
    summed.refresh_from_db()
    assert (summed.state, summed.result) == ("completed", 5)
    assert set(Run.objects.live()) == set(left)
    lines = [line for line in worker.lines if "✓ default.record" in line]
    assert len(lines) == 5
    assert "Traceback" not in worker.output


def test_what_jobs_leave_behind_keeps_no_worker_from_its_end(start_worker: StartWorker, effects: Effects) -> None:
    run = queues.default.add("leave_thread")

    worker = start_worker("--drain", "--grace=0")

    assert worker.wait() == 0
    assert Run.objects.get(pk=run.pk).state == "completed"
    assert "does not come to its end by itself, and is ended. Its threads: MainThread, left behind_0." in worker.output


def test_broken_settings_are_refused_with_everything_that_is_wrong(start_worker: StartWorker) -> None:
    worker = start_worker(environment={"DJANGO_SETTINGS_MODULE": "tests.acceptance.broken_settings"})

    assert worker.wait() == 1
    assert "JOBQUEUE[\"worker\"]: unknown option 'concurency'. Did you mean 'concurrency'?" in worker.output
    assert 'JOBQUEUE["queues"]["mail"]["lease_seconds"]: must be a number' in worker.output
    assert "Traceback" not in worker.output


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
    wait_until(lambda: psutil.Process(worker.pid).status() == psutil.STATUS_STOPPED, "it is frozen")
    frozen = file.stat().st_mtime
    time.sleep(1.5)  # nothing is to happen
    assert file.stat().st_mtime == frozen
    worker.send(signal.SIGCONT)
    effects.open_gate()

    assert worker.stop() == 0
    assert not file.exists()


def test_neither_a_liveness_file_that_cannot_be_written_nor_an_output_that_is_not_utf_8_stops_the_work(
    start_worker: StartWorker, effects: Effects
) -> None:
    run = queues.default.add("record")

    worker = start_worker("--drain", "--liveness-file=/proc/alive", environment={"PYTHONIOENCODING": "ascii"})

    assert worker.wait() == 0
    assert len(effects.all()) == 1
    assert f"#{run.id}" in worker.output
    assert worker.output.count("The liveness file cannot be written") == 1
