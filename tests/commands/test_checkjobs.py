"""What a monitor and a probe get to know: by the exit code, in words, and as JSON."""

from __future__ import annotations

import json
import os
import re
import socket
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from django_jobqueue import job, operations
from django_jobqueue.models import Run, Worker
from django_jobqueue.queue import Queue
from tests.commands.conftest import command, send

WELL = "All is well.\n"


def problems(*arguments: str) -> list[str]:
    with pytest.raises(CommandError) as caught:
        command("checkjobs", *arguments)
    assert caught.value.returncode == 1
    return str(caught.value).splitlines()


def staff(*, host: str = "web-1", age_seconds: float = 1.0) -> None:
    """Let a worker of queue ``mail`` have said that it lives."""
    now = timezone.now()
    Worker.objects.create(
        name=f"{host}:7:a",
        queues=["mail", "default"],
        concurrency=8,
        started_at=now - timedelta(hours=1),
        heartbeat_at=now - timedelta(seconds=age_seconds),
    )


def due_for(seconds: float) -> None:
    Run.objects.update(run_at=timezone.now() - timedelta(seconds=seconds))


@pytest.mark.django_db
class TestQueues:
    """It asks the database."""

    def test_where_nothing_waits_nobody_need_work(self, mail: Queue) -> None:
        assert command("checkjobs").out == WELL

    def test_due_runs_need_a_worker_that_lives(self, mail: Queue) -> None:
        mail.add("send", {"to": "ann"})
        staff(age_seconds=31)
        assert problems() == ["Queue 'mail' has due runs, and no worker."]

        Worker.objects.all().delete()
        staff()
        assert command("checkjobs").out == WELL

    def test_a_run_may_not_have_been_due_for_too_long(self, mail: Queue) -> None:
        staff()
        mail.add("send", {"to": "ann"})
        due_for(301)
        [problem] = problems()
        assert re.fullmatch(r"The oldest run of queue 'mail' has been due for 5 min \d+ s, more than 5 min\.", problem)
        assert command("checkjobs", "--oldest-due=10m").out == WELL

    def test_a_queue_that_is_paused_may_wait(self, mail: Queue) -> None:
        mail.add("send", {"to": "ann"})
        due_for(3600)
        operations.pause_queue("mail", actor="test")

        assert command("checkjobs").out == WELL

    def test_runs_of_a_job_that_is_paused_may_wait_whatever_it_was_called_before(self, mail: Queue) -> None:
        job(queue="mail", name="render", aliases=["draw"])(send)
        runs = [mail.add(name, {"to": "ann"}) for name in ("render", "render", "send")]
        Run.objects.filter(pk=runs[0].pk).update(job="draw")
        due_for(3600)
        operations.pause_job("mail", "render", actor="test")
        assert problems() == [
            "Queue 'mail' has due runs, and no worker.",
            "The oldest run of queue 'mail' has been due for 1 h, more than 5 min.",
        ]

        operations.cancel(runs[2].pk, actor="test")

        assert command("checkjobs").out == WELL
        [queue] = json.loads(command("checkjobs", "--format=json", "--queue=mail").out)["queues"]
        assert (queue["paused"], queue["paused_jobs"], queue["pending"]) == (False, ["render"], 2)
        assert queue["oldest_due_age_seconds"] > 3599

    def test_only_the_named_queues_are_looked_at(self, mail: Queue) -> None:
        mail.add("send", {"to": "ann"})

        assert command("checkjobs", "--queue=default").out == WELL
        assert problems("--queue=mail", "--queue=default")
        with pytest.raises(CommandError, match="Did you mean 'mail'"):
            command("checkjobs", "--queue=mial")

    def test_too_many_dead_letters_of_late_are_told(self, mail: Queue) -> None:
        runs = [mail.add("send", {"to": "ann"}) for _ in range(3)]
        ended = timezone.now() - timedelta(minutes=30)
        Run.objects.update(state="dead_lettered", reason="max_attempts", finished_at=ended)

        assert len(runs) == 3
        assert command("checkjobs", "--dead-letters=3").out == WELL
        assert command("checkjobs", "--dead-letters=0", "--lately=20m").out == WELL
        assert problems("--dead-letters=2") == ["3 runs were dead-lettered in the last 1 h, more than 2."]

    def test_a_worker_of_this_host_can_be_asked_for(self, mail: Queue) -> None:
        staff(host="elsewhere")
        assert problems("--here") == [f"No worker is alive on this host, {socket.gethostname()}."]

        staff(host=socket.gethostname())
        assert command("checkjobs", "--here").out == WELL

    def test_programs_get_what_was_found(self, mail: Queue) -> None:
        staff(age_seconds=2)
        mail.add("send", {"to": "ann"})
        due_for(400)
        out = StringIO()
        with pytest.raises(CommandError):
            call_command("checkjobs", "--format=json", "--queue=mail", stdout=out)

        found = json.loads(out.getvalue())
        [worker], [queue] = found["workers"], found["queues"]
        assert (found["ok"], len(found["problems"])) == (False, 1)
        assert worker["worker"] == "web-1:7:a"
        assert 2 <= worker["heartbeat_age_seconds"] < 30
        assert (queue["queue"], queue["workers"], queue["pending"], queue["paused"]) == ("mail", 1, 1, False)
        assert queue["oldest_due_age_seconds"] > 399


class TestLivenessFile:
    """It asks no database: these tests may not."""

    def test_a_file_that_was_just_touched_says_that_its_process_lives(self, tmp_path: Path) -> None:
        file = tmp_path / "alive"
        file.touch()

        assert command("checkjobs", f"--liveness-file={file}").out == WELL

    def test_one_that_is_old_or_not_there_says_that_it_does_not(self, tmp_path: Path) -> None:
        file = tmp_path / "alive"
        assert problems(f"--liveness-file={file}") == [f"{file} cannot be found: No such file or directory."]

        touched(file, hours_ago=60.5)
        [told] = problems(f"--liveness-file={file}")
        assert told.startswith(f"{file} was touched 2 d 12 h ago, more than 30 s")
        assert command("checkjobs", f"--liveness-file={file}", "--within=3d").out == WELL

    def test_every_supervised_worker_must_live(self, tmp_path: Path) -> None:
        for name in ("alive", "alive.1"):
            (tmp_path / name).touch()
        touched(tmp_path / "alive.2", hours_ago=60.5)
        touched(tmp_path / "alive.old", hours_ago=99)

        [told] = problems(f"--liveness-file={tmp_path / 'alive'}")

        assert told.startswith(f"{tmp_path / 'alive.2'} was touched 2 d 12 h ago")


def touched(file: Path, *, hours_ago: float) -> None:
    file.touch()
    then = timezone.now().timestamp() - hours_ago * 3600
    os.utime(file, (then, then))
