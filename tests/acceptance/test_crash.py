"""Workers that die or freeze in the middle of their work."""

from __future__ import annotations

import signal
import time
from collections import Counter
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.utils import timezone

from django_jobqueue import queues
from django_jobqueue.models import Run
from tests.acceptance.conftest import StartWorker
from tests.acceptance.programs import Effects, end_leases, other_sessions, wait_until
from tests.acceptance.settings import LEASE

MARGIN_SECONDS = 25
"""For a machine that stalls, beside the 2 s of the promise: less than what a second crash would have to wait."""


def test_the_run_of_a_killed_worker_starts_again_within_its_lease_and_two_seconds(
    start_worker: StartWorker, effects: Effects
) -> None:
    """The other worker has a child already. That it would have started one in time is proven beside the heartbeat."""
    run = queues.default.add("hold")
    first = start_worker("--concurrency=1")
    effects.wait_for("start")
    second = start_worker(environment={LEASE: "6"}).wait_until_ready()
    told = queues.default.add("tell_pid")
    second.wait_for_line(f"#{told.id}")
    told.refresh_from_db()

    first.send(signal.SIGKILL)
    first.wait()
    killed_at = time.time()
    as_if_renewed = timezone.now() + timedelta(seconds=2)
    Run.objects.filter(pk=run.pk).update(lease_until=as_if_renewed)  # for 2 s: until now no stall may have ended it
    [again] = effects.wait_for("start", attempt=2)
    effects.open_gate()
    second.wait_for_line(f"#{run.id}")
    wait_until(lambda: Run.objects.get(pk=run.pk).state == "completed", "the second attempt completes the run")

    assert again.at - killed_at <= 2 + 2 + MARGIN_SECONDS
    assert again.pid == told.result  # the child's
    assert again.pid not in (first.pid, second.pid)
    run.refresh_from_db()
    assert (run.attempt, run.crashes, run.failures, run.result) == (2, 1, 0, "by attempt 2")
    crashed, completed = run.attempts.all()
    assert (crashed.number, crashed.outcome, crashed.worker) == (1, "crashed", first.name)
    assert (completed.number, completed.outcome, completed.worker) == (2, "completed", second.name)
    assert f"Worker {first.name} vanished" in second.output
    assert len(effects.all("end")) == 1


def test_what_an_atomic_job_did_whose_worker_was_killed_is_undone_and_done_once_and_what_may_start_once_is_lost(
    start_worker: StartWorker, effects: Effects
) -> None:
    once = queues.default.add("hold_once")
    first = start_worker()
    effects.wait_for("start")
    run = queues.default.add("enter", {"die": "before the commit"})
    assert first.wait() == -signal.SIGKILL
    end_leases(first.pid)
    second = start_worker()
    second.wait_for_line(f"#{run.id}")
    wait_until(lambda: not Run.objects.live().exists(), "the second attempt completes the run, the other is given up")

    assert [attempt.outcome for attempt in run.attempts.order_by("number")] == ["crashed", "completed"]
    assert list(Group.objects.values_list("name", flat=True)) == ["by attempt 2"]
    once.refresh_from_db()
    assert (once.state, once.reason, once.attempt, once.crashes) == ("dead_lettered", "lost", 1, 1)
    assert [effect.attempt for effect in effects.all("start") if effect.run_id == once.id] == [1]


def test_the_late_result_of_a_frozen_worker_is_dropped(start_worker: StartWorker, effects: Effects) -> None:
    run = queues.default.add("hold")
    frozen = start_worker().wait_until_ready()
    effects.wait_for("start")
    frozen.freeze()
    end_leases(frozen.pid)

    start_worker().wait_until_ready()
    [again] = effects.wait_for("start", attempt=2)
    effects.open_gate()
    wait_until(lambda: Run.objects.get(pk=run.pk).state == "completed", "the other worker completes the run")
    frozen.send(signal.SIGCONT)
    effects.wait_for("end", 2)
    frozen.wait_for_line("Lease lost, result dropped")

    assert frozen.stop() == 0
    run.refresh_from_db()
    assert (run.state, run.attempt, run.crashes, run.result) == ("completed", 2, 1, "by attempt 2")
    assert [attempt.outcome for attempt in run.attempts.all()] == ["crashed", "completed"]
    assert [(effect.pid, effect.attempt, effect.word) for effect in effects.all()] == [
        (frozen.pid, 1, "start"),
        (again.pid, 2, "start"),
        (again.pid, 2, "end"),
        (frozen.pid, 1, "end"),
    ]
    assert f"run {run.id} (default.hold)" in frozen.output
    assert "✓" not in frozen.output


@pytest.mark.sqlite  # in each database: worker/test_leases.py, in one process
def test_a_worker_that_was_frozen_alone_goes_on_with_its_run(start_worker: StartWorker, effects: Effects) -> None:
    run = queues.default.add("hold")
    frozen = start_worker(environment={LEASE: "2"}).wait_until_ready()
    effects.wait_for("start")
    frozen.freeze()
    wait_until(
        lambda: Run.objects.filter(pk=run.pk, lease_until__lt=timezone.now()).exists(),
        "the lease of the frozen worker ends",
    )

    frozen.send(signal.SIGCONT)
    effects.open_gate()
    frozen.wait_for_line(f"#{run.id}")
    wait_until(lambda: Run.objects.get(pk=run.pk).state == "completed", "the run is completed")

    run.refresh_from_db()
    assert (run.attempt, run.crashes) == (1, 0)
    assert len(effects.all("start")) == 1


def test_runs_that_a_killed_worker_had_claimed_but_not_started_are_each_started_once(
    start_worker: StartWorker, effects: Effects
) -> None:
    """It dies in the middle of short runs, of which it claims some ahead."""
    ids = queues.default.bulk_add(
        [{"job": "record"} for _ in range(50)] + 10 * ([{"job": "record"}] * 24 + [{"job": "fall"}])
    )
    first = start_worker("--concurrency=1")

    assert first.wait() == -signal.SIGKILL
    if connection.vendor == "postgresql":
        wait_until(lambda: not other_sessions(), "the server has done what the worker has told it")
    left = set(Run.objects.in_state("running").values_list("pk", flat=True))
    begun = {effect.run_id for effect in effects.all("start")}
    end_leases(first.pid)
    start_worker()
    wait_until(lambda: not Run.objects.live().exists(), "all runs end")

    assert left - begun, "nothing was claimed ahead"
    # A result that was not written yet is lost with its worker: such a run is started again, and nothing else is.
    starts = Counter(effect.run_id for effect in effects.all("start"))
    assert starts == Counter(ids) + Counter(left & begun)
    assert set(Run.objects.filter(pk__in=left).values_list("crashes", "failures")) == {(1, 0)}
    assert set(Run.objects.exclude(pk__in=left).values_list("crashes", "failures")) == {(0, 0)}
    assert set(Run.objects.values_list("state", flat=True)) == {"completed"}


@pytest.mark.sqlite  # each one writes what is counted in the same way
def test_figures_after_a_kill_are_exact_but_for_what_was_not_written_down_yet(
    start_worker: StartWorker, effects: Effects
) -> None:
    queues.default.bulk_add([{"job": "record"}] * 20)
    first = start_worker()
    wait_until(lambda: queues.default.stats().completed == 20, "the worker writes down what it has counted")
    queues.default.bulk_add([{"job": "record", "priority": 1}] * 5 + [{"job": "hold"}])
    effects.wait_for("start", 26)
    wait_until(lambda: Run.objects.in_state("completed").count() == 25, "all is settled but the one that holds")

    first.kill()
    killed = queues.default.stats()

    assert (killed.running, killed.pending, killed.failed, killed.dead_lettered) == (1, 0, 0, 0)
    assert 20 <= killed.completed <= 25

    effects.open_gate()
    second = start_worker()
    wait_until(lambda: not Run.objects.live().exists(), "the run is taken over and ends")
    assert second.stop() == 0

    after = queues.default.stats()
    assert (after.running, after.pending, after.completed) == (0, 0, killed.completed + 1)
    assert Run.objects.in_state("completed").count() == 26
