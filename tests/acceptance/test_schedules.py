"""Schedules, fired by real processes that come and go."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from textwrap import dedent

import pytest
from django.utils import timezone

from django_jobqueue.models import Run, Schedule, Skip
from django_jobqueue.operations import schedule_create, schedule_toggle
from django_jobqueue.scheduler import Scheduler
from tests.acceptance.conftest import StartWorker
from tests.acceptance.programs import ROOT, Effects, wait_until


@pytest.mark.slow
def test_four_processes_fire_each_second_once_though_some_are_killed(
    start_worker: StartWorker, effects: Effects
) -> None:
    workers = [start_worker("--concurrency=2") for _ in range(4)]
    for worker in workers:
        worker.wait_until_ready()
    first_due = schedule_create("every_second", job="record", every_seconds=1, actor="test").next_run_at
    for victim in workers[:2]:
        wait_until_fired(3)
        victim.kill()
    wait_until_fired(3)
    schedule_toggle("every_second", enabled=False, actor="test")
    assert [worker.stop() for worker in workers[2:]] == [0, 0]

    assert first_due is not None
    fired = [(run.fires_at, run.missed) for run in Run.objects.order_by("fires_at") if run.fires_at is not None]
    # Where all of them were late, one run stands for several due times.
    due = [fires_at - timedelta(seconds=late) for fires_at, missed in fired for late in range(missed or 0, -1, -1)]
    assert None in {missed for _, missed in fired}, "it was never in time"
    assert due == [first_due + timedelta(seconds=number) for number in range(len(due))]
    assert not Skip.objects.exists()
    executed = Counter(effect.run_id for effect in effects.all("start"))
    assert executed.keys() >= set(Run.objects.filter(state="completed").values_list("id", flat=True))


def wait_until_fired(times: int) -> None:
    """Wait until the schedule has fired so many times more."""
    before = Run.objects.count()
    wait_until(lambda: Run.objects.count() >= before + times, f"it fires {times} times")


def test_a_worker_fires_and_works_what_is_due(start_worker: StartWorker, effects: Effects) -> None:
    start = timezone.now() + timedelta(seconds=1)
    schedule = schedule_create("often", job="record", every_seconds=3600, starts_at=start, actor="test")
    Schedule.objects.update(next_run_at=start)  # also if that has gone by meanwhile

    worker = start_worker().wait_until_ready()
    [effect] = effects.wait_for("start")

    run = Run.objects.get()
    assert (run.schedule, run.fires_at, run.pk) == (schedule, start, effect.run_id)
    assert effect.at >= start.timestamp()
    assert worker.stop() == 0


KILLED_TICKS = """
    import itertools, os, signal
    import django
    django.setup()
    from django.db import connection
    from django_jobqueue.models import Run, Schedule
    from django_jobqueue.scheduler import Scheduler

    def tick_and_die_before(statement):
        def execute(execute, *arguments):
            if next(count) == statement:
                os.kill(os.getpid(), signal.SIGKILL)
            return execute(*arguments)

        count = itertools.count()
        with connection.execute_wrapper(execute):
            Scheduler().tick()

    before = Schedule.objects.get().next_run_at
    for kills in itertools.count():
        connection.close()
        child = os.fork()
        if child == 0:
            tick_and_die_before(kills)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if Run.objects.exists():
            break
        assert os.WIFSIGNALED(status)
        assert Schedule.objects.get().next_run_at == before
    print(kills)
"""


@pytest.mark.slow
def test_a_kill_at_any_statement_neither_loses_nor_doubles(project: None, effects: Effects) -> None:
    due = timezone.now() - timedelta(seconds=1)
    schedule_create("hourly", job="record", every_seconds=3600, starts_at=due, actor="test")
    Schedule.objects.update(next_run_at=due)

    command = [sys.executable, "-W", "error", "-c", dedent(KILLED_TICKS)]
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "tests.acceptance.settings"}
    kills = subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=300, stdout=subprocess.PIPE).stdout
    Scheduler().tick()

    assert int(kills) >= 4
    assert list(Run.objects.values_list("fires_at", flat=True)) == [due]
    assert Schedule.objects.get().next_run_at == due + timedelta(hours=1)
