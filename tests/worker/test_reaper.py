"""What becomes of the runs of a worker that vanished."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from time import monotonic
from typing import Any

import pytest
from django.db import connections, transaction
from django.utils import timezone

from django_jobqueue import job, queues
from django_jobqueue.engines.base import Engine, NewRun, Ref
from django_jobqueue.models import Run
from django_jobqueue.worker import reaper as reaper_module
from django_jobqueue.worker.leases import Leases
from django_jobqueue.worker.reaper import Reaper
from tests.worker.bench import PATIENCE_SECONDS, Recorder
from tests.worker.conftest import Lose, Refuse, StartWorker, Work, end_lease
from tests.worker.moments import took

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_run_whose_worker_vanished_is_started_again_at_once(work: Work, lose: Lose, observer: Recorder) -> None:
    @job
    def note() -> str:
        return "done"

    run = queues.default.add("note", max_attempts=1)
    lose(worker="gone:1:a")

    work()

    run.refresh_from_db()
    assert (run.state, run.attempt, run.crashes, run.failures) == ("completed", 2, 1, 0)
    first, second = run.attempts.all()
    assert (first.number, first.outcome, first.worker) == (1, "crashed", "gone:1:a")
    assert first.error == "Worker gone:1:a vanished: its lease ended without a heartbeat."
    assert (second.number, second.outcome, second.worker) == (2, "completed", observer.workers[0])
    [(lost, state)] = observer.lost
    assert (lost.id, lost.worker, state) == (run.id, "gone:1:a", "pending")


def test_a_run_whose_worker_vanished_keeps_its_place_in_the_line(
    lose: Lose, engine: Engine, observer: Recorder
) -> None:
    @job
    def note() -> None: ...

    first = queues.default.add("note")
    lose()
    others = [queues.default.add("note") for _ in range(2)]

    assert Reaper(observer).turn(Leases())

    claims = engine.claim("default", "default", worker="me:1:a", limit=3, lease_seconds=30)
    assert [claim.id for claim in claims] == [run.id for run in (first, *others)]


def test_after_its_second_crash_a_run_waits_half_a_minute(work: Work, lose: Lose) -> None:
    @job
    def note() -> None:
        pass

    run = queues.default.add("note")
    Run.objects.filter(pk=run.pk).update(crashes=1)
    lose()

    with took() as moment:
        work()

    run.refresh_from_db()
    assert (run.state, run.attempt, run.crashes) == ("pending", 1, 2)
    assert run.run_at in moment.and_seconds(30)


@pytest.mark.parametrize(("options", "crashes"), [({}, 3), ({"max_crashes": 1}, 1), ({"max_crashes": 5}, 5)])
def test_a_run_that_loses_too_many_workers_is_dead_lettered(
    work: Work, lose: Lose, options: dict[str, Any], crashes: int
) -> None:
    @job(**options)
    def note() -> None:
        raise AssertionError("not again")

    run = queues.default.add("note")
    Run.objects.filter(pk=run.pk).update(crashes=crashes - 1)
    lose()

    work()

    run.refresh_from_db()
    assert (run.state, run.reason, run.attempt, run.crashes) == ("dead_lettered", "max_crashes", 1, crashes)
    assert run.attempts.get().outcome == "crashed"


def test_an_at_most_once_run_whose_worker_vanished_is_lost(work: Work, lose: Lose) -> None:
    @job(delivery="at_most_once")
    def pay() -> None:
        raise AssertionError("not again")

    run = queues.default.add("pay")
    lose()

    work()

    run.refresh_from_db()
    assert (run.state, run.reason, run.attempt, run.crashes) == ("dead_lettered", "lost", 1, 1)
    assert run.attempts.get().outcome == "crashed"


def test_runs_of_queues_and_jobs_that_nobody_here_knows_are_taken_back_too(
    work: Work, lose: Lose, engine: Engine
) -> None:
    [inserted] = engine.insert("default", [NewRun(queue="of_tomorrow", job="unknown")])
    lose("of_tomorrow")

    work()

    run = Run.objects.get(pk=inserted.id)
    assert (run.state, run.crashes, run.worker) == ("pending", 1, "gone:1:a")


def test_runs_of_another_namespace_are_left_alone(work: Work, engine: Engine) -> None:
    [inserted] = engine.insert("elsewhere", [NewRun(queue="default", job="note")])
    engine.claim("elsewhere", "default", worker="gone:1:a", limit=1, lease_seconds=30)
    end_lease(inserted.id)

    work()

    assert Run.objects.get(pk=inserted.id).state == "running"


def test_one_turn_takes_back_all_lost_runs_however_many(engine: Engine, observer: Recorder) -> None:
    @job
    def note() -> None: ...

    queues.default.bulk_add([{"job": "note"} for _ in range(210)])
    engine.claim("default", "default", worker="gone:1:a", limit=210, lease_seconds=30)
    Run.objects.update(lease_until=timezone.now() - timedelta(minutes=1))

    assert Reaper(observer).turn(Leases())

    assert set(Run.objects.values_list("state", "attempt", "crashes")) == {("pending", 1, 1)}
    assert len(observer.lost) == 210


def test_a_lost_run_that_the_database_will_not_take_back_keeps_no_other_waiting(
    lose: Lose, refuse: Refuse, observer: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    @job
    def note() -> None: ...

    first, refused, last = (queues.default.add("note", tenant=tenant) for tenant in ("a", "refused", "z"))
    for _ in range(3):
        lose()
    refuse("tenant = 'refused' AND crashes = 1")
    reaper = Reaper(observer)

    for _ in range(2):
        reaper.turn(Leases())

    assert dict(Run.objects.values_list("pk", "state")) == {
        first.id: "pending",
        refused.id: "running",
        last.id: "pending",
    }
    assert sorted(lost.id for lost, _ in observer.lost) == [first.id, last.id]
    assert caplog.text.count(f"Run {refused.id} (default.note) is lost, which the database refuses to store") == 1


def test_lost_runs_that_the_database_will_not_take_back_are_passed_over_and_tried_again_later(
    lose: Lose, refuse: Refuse, observer: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaper_module, "BATCH", 1)

    @job
    def note() -> None: ...

    refused, other = queues.default.add("note", tenant="refused"), queues.default.add("note")
    lose(), lose()
    Run.objects.filter(pk=refused.pk).update(lease_until=timezone.now() - timedelta(hours=1))
    refuse("tenant = 'refused' AND crashes = 1")
    reaper = Reaper(observer)

    assert [reaper.turn(Leases()) for _ in range(3)] == [False, True, False]
    Run.objects.filter(pk=refused.pk).update(crashes=2)  # what is no longer refused
    reaper._passed_over[Ref(refused.id, 1)] = monotonic()
    assert reaper.turn(Leases())

    assert [lost.id for lost, _ in observer.lost] == [other.id, refused.id]
    assert reaper._passed_over == {}


@pytest.mark.mysql
@pytest.mark.postgresql
def test_a_lost_run_that_somebody_has_locked_is_left_to_its_worker_for_a_while(
    lose: Lose, observer: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a cancel in a transaction that takes long: the worker may live, and could not renew the lease."""
    monkeypatch.setattr(reaper_module, "LOCKED_SECONDS", 3600.0)

    @job
    def note() -> None: ...

    locked, other = queues.default.add("note"), queues.default.add("note")
    lose(), lose()
    reaper = Reaper(observer)

    def turn() -> bool:
        try:
            return reaper.turn(Leases())
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            Run.objects.select_for_update().get(pk=locked.pk)
            assert pool.submit(turn).result(timeout=PATIENCE_SECONDS)
        assert [lost.id for lost, _ in observer.lost] == [other.id]
        assert not reaper.turn(Leases())
        reaper._passed_over[Ref(locked.id, 1)] = monotonic()
        assert reaper.turn(Leases())

    assert [lost.id for lost, _ in observer.lost] == [other.id, locked.id]


def test_a_run_that_was_asked_to_cancel_is_not_started_again(work: Work, lose: Lose) -> None:
    @job
    def note() -> None:
        raise AssertionError("not again")

    run = queues.default.add("note")
    lose()
    Run.objects.filter(pk=run.pk).update(cancel_requested_at=timezone.now())

    work()

    run.refresh_from_db()
    assert (run.state, run.reason) == ("cancelled", "cancelled")


def test_an_idle_worker_takes_back_lost_runs_without_waiting_for_its_poll(
    start_worker: StartWorker, observer: Recorder, settings: Any
) -> None:
    settings.JOBQUEUE = {"worker": {"poll_seconds": 60}}

    @job
    def note() -> None:
        pass

    with start_worker(concurrency=1) as worker:
        worker.chores.wait_for_turns(1)
        run = queues.default.add("note", delay_seconds=3600)
        long_ago = timezone.now() - timedelta(minutes=1)
        Run.objects.filter(pk=run.pk).update(
            state="running", attempt=1, worker="gone:1:a", started_at=long_ago, lease_until=long_ago
        )
        observer.wait_until_settled(run)

    run.refresh_from_db()
    assert (run.state, run.attempt, run.crashes) == ("completed", 2, 1)
