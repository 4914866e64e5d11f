"""A worker purges what is over while it works: always, never much at a time, and nothing that is to be kept."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from django_jobqueue import Fail, job, queues
from django_jobqueue.models import Activity, Attempt, IdempotencyKey, Run, Schedule, Skip, Worker
from django_jobqueue.operations import forgetting, purging
from django_jobqueue.worker import chore, purger
from django_jobqueue.worker.housekeeper import Housekeeper
from django_jobqueue.worker.leases import Leases
from django_jobqueue.worker.purger import LEAST_REST_SECONDS, Purger
from tests.listening import Listener
from tests.worker.bench import wait_until
from tests.worker.conftest import StartWorker, Work

pytestmark = pytest.mark.django_db(transaction=True)

AT_ONCE = {"completed_after_seconds": 0, "failed_after_seconds": 0}


def old_run(**columns: Any) -> Run:
    """A run that was completed long ago, with its attempt."""
    then = timezone.now() - timedelta(days=400)
    known = {"queue": "default", "job": "note", "state": "completed", "reason": "returned", "attempt": 1}
    moments = dict.fromkeys(["run_at", "created_at", "started_at", "finished_at"], then)
    run = Run.objects.create(**known | moments | columns)
    Attempt.objects.create(run=run, number=1, worker="a", started_at=then, finished_at=then, outcome="completed")
    return run


@pytest.fixture(autouse=True)
def jobs() -> None:
    @job
    def note() -> str:
        return "noted"

    @job
    def fail() -> None:
        raise Fail

    @job(max_attempts=1)
    def die() -> None:
        raise OSError("no disk")


def test_an_idle_worker_purges(start_worker: StartWorker) -> None:
    for _ in range(3):
        old_run()

    with start_worker():
        wait_until(lambda: not Run.objects.exists())

    assert not Attempt.objects.exists()


def test_a_worker_that_is_never_idle_purges_too(start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purging, "WINDOW", 10)
    monkeypatch.setattr(purger, "SHARE", 1.0)  # lest it rest for long after a turn that took long
    old = [old_run().pk for _ in range(40)]

    @job
    def busy() -> None:
        queues.default.add("busy")

    queues.default.bulk_add([{"job": "busy"} for _ in range(20)])

    with start_worker(concurrency=4):
        wait_until(lambda: not Run.objects.filter(pk__in=old).exists())
        still_busy = Run.objects.live().exists()
        wait_until(Run.objects.in_state("completed").exists)

    assert still_busy


def test_what_is_not_kept_vanishes_as_it_ends(work: Work, settings: Any, listener: Listener) -> None:
    settings.JOBQUEUE = {"queues": {"default": {"cleanup": AT_ONCE}}}
    runs = [queues.default.add(name) for name in ("note", "fail", "die")]

    work()

    assert not Run.objects.exists()
    assert not Attempt.objects.exists()
    assert [listener.keys(run)[2:] for run in runs] == [["completed"], ["failed"], ["failed", "dead_lettered"]]
    assert [listener.of(run)[-1].state for run in runs] == ["completed", "failed", "dead_lettered"]


def test_what_is_kept_in_part_vanishes_in_part(work: Work, settings: Any) -> None:
    settings.JOBQUEUE = {"queues": {"default": {"cleanup": {"completed_after_seconds": 0}}}}
    queues.default.add("note")
    failed = queues.default.add("fail")

    work()

    assert Run.objects.get() == failed


def test_a_cancelled_run_that_is_not_kept_vanishes_within_seconds(start_worker: StartWorker, settings: Any) -> None:
    settings.JOBQUEUE = {"queues": {"default": {"cleanup": AT_ONCE}}, "worker": {"poll_seconds": 0.05}}
    run = queues.default.add("note", delay_seconds=3600)
    Run.objects.filter(pk=run.pk).cancel_pending()

    with start_worker():
        wait_until(lambda: not Run.objects.exists())


def test_where_nothing_is_ever_purged_no_run_is_looked_at(settings: Any, django_assert_max_num_queries: Any) -> None:
    never = {"completed_after_seconds": None, "failed_after_seconds": None}
    settings.JOBQUEUE = {"queues": {"default": {"cleanup": never}}}
    old_run()
    never_purging = Purger()

    with django_assert_max_num_queries(3) as queries:  # the clock, and the workers
        never_purging.turn(Leases())

    assert not [query for query in queries.captured_queries if "jobqueue_run" in query["sql"]]
    assert Run.objects.exists()


class Clock:
    """Each look at it takes half a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.5
        return self.now


@pytest.fixture
def rest(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Any]:
    """Take the turn of a chore, and answer how long it then wants to rest, but for the jitter."""
    monkeypatch.setattr(purger, "monotonic", Clock())
    monkeypatch.setattr(chore, "monotonic", lambda: 0.0)

    def rest(taken: Any) -> Any:
        taken.turn(Leases())
        return pytest.approx(taken.due_at, rel=0.25)

    return rest


def test_the_purger_rests_nine_times_as_long_as_it_took(
    rest: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purging, "WINDOW", 10)
    for _ in range(25):
        old_run()
    busy = Purger()

    assert [rest(busy) for _ in range(3)] == [4.5] * 3
    assert not Run.objects.exists()


def test_the_more_workers_look_in_vain_the_longer_each_rests(rest: Callable[[Any], Any]) -> None:
    now = timezone.now()
    for number in range(4):
        Worker.objects.create(name=f"w{number}", queues=["default"], concurrency=1, started_at=now, heartbeat_at=now)

    assert rest(Purger()) == 0.5 * 49 * 4


def test_between_two_walks_the_purger_rests_a_while(rest: Callable[[Any], Any]) -> None:
    assert rest(Purger()) == LEAST_REST_SECONDS


def test_a_new_walk_begins_at_the_oldest_run_again() -> None:
    walker = Purger()
    for _ in range(2):
        old_run()
        walker.turn(Leases())
        assert not Run.objects.exists()
        walker.turn(Leases())  # looks in vain, and ends the walk


def test_vanished_workers_are_forgotten_after_an_hour(work: Work) -> None:
    now = timezone.now()
    for name, minutes in [("gone", 61), ("lost", 59)]:
        seen = now - timedelta(minutes=minutes)
        Worker.objects.create(name=name, queues=[], concurrency=1, started_at=seen, heartbeat_at=seen)
    elsewhere = Worker.objects.create(
        name="elsewhere",
        namespace="elsewhere",
        queues=[],
        concurrency=1,
        started_at=now,
        heartbeat_at=now - timedelta(days=1),
    )

    work(housekeeping=True)

    assert set(Worker.objects.values_list("name", flat=True)) == {"lost", elsewhere.name}


def test_expired_idempotency_keys_are_forgotten(work: Work) -> None:
    now = timezone.now()
    for key, seconds in [("old", -1), ("new", 3600)]:
        expires_at = now + timedelta(seconds=seconds)
        IdempotencyKey.objects.create(key_hash=key, arguments_hash="a", run_id=1, expires_at=expires_at)

    work(housekeeping=True)

    assert IdempotencyKey.objects.get().key_hash == "new"


@pytest.mark.parametrize(
    ("kept", "left"), [({}, 1), ({"activities_after_seconds": None}, 2), ({"activities_after_seconds": 0}, 0)]
)
def test_activities_are_forgotten_after_a_year_or_as_the_project_says(
    work: Work, settings: Any, kept: dict[str, Any], left: int
) -> None:
    settings.JOBQUEUE = {"cleanup": kept}
    now = timezone.now()
    for days in (366, 364):
        Activity.objects.create(operation="jobs.cancel", actor="ana", created_at=now - timedelta(days=days))

    work(housekeeping=True)

    assert Activity.objects.count() == left


@pytest.mark.parametrize(
    ("kept", "left"),
    [({}, {364}), ({"activities_after_seconds": None}, {366, 364}), ({"activities_after_seconds": 0}, set())],
)
def test_due_times_that_made_no_run_are_forgotten_as_activities_are(
    work: Work, settings: Any, kept: dict[str, Any], left: set[int]
) -> None:
    settings.JOBQUEUE = {"cleanup": kept}
    now = timezone.now()
    for namespace in ("default", "elsewhere"):
        schedule = Schedule.objects.create(
            namespace=namespace, name="hourly", queue="default", job="note", enabled=False
        )
        for days in (366, 364):
            last_at = now - timedelta(days=days)
            first_at = last_at - timedelta(days=9)
            schedule.skips.create(first_at=first_at, last_at=last_at, number=days, reason="overlap")

    work(housekeeping=True)

    assert set(Skip.objects.filter(schedule__namespace="default").values_list("number", flat=True)) == left
    assert Skip.objects.filter(schedule__namespace="elsewhere").count() == 2


def test_what_is_too_much_for_one_turn_is_forgotten_in_several(
    rest: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "BATCH", 2)
    then = timezone.now() - timedelta(days=400)
    for _ in range(5):
        Activity.objects.create(operation="jobs.cancel", actor="ana", created_at=then)
    keeper = Housekeeper()

    turns = [(rest(keeper), Activity.objects.count()) for _ in range(3)]

    assert turns == [(1.0, 3), (1.0, 1), (300.0, 0)]
