"""The sweep calls those whom nobody has called; here, whatever should have called them did not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from django_jobqueue import operations
from django_jobqueue.engines.base import NewRun
from django_jobqueue.limiting import sweep
from django_jobqueue.limiting.sweep import Sweep, sweep_queue
from django_jobqueue.models import LimitBucket, QueueState, Run
from django_jobqueue.operations.expiring import expire_some
from django_jobqueue.operations.uniqueness import insert_unique
from django_jobqueue.states import OnDuplicate, State
from tests.limiting.conftest import Configure, Office, parked

pytestmark = pytest.mark.django_db

LIMITS = [
    {"jobs": {"send": {"concurrent_jobs": 1}}},
    {"jobs": {"send": {"concurrent_jobs_per_key": 1}}},
    {"concurrent_jobs_per_key": 1},
    {"concurrent_jobs_per_key": 1, "keep_order": True},
]


def forget(*ids: int) -> None:
    """Let attempts have ended without a word to those who wait."""
    Run.objects.filter(pk__in=ids).update(
        state=State.COMPLETED, reason="returned", lease_until=None, finished_at=timezone.now()
    )


def held_by_nothing(*numbers: int) -> None:
    """Let so many runs of queue ``mail``, and of queue ``post``, be parked on what does not limit them."""
    office = Office()
    for queue, number in zip(["mail", "post"], numbers, strict=True):
        ids = office.add_many(number)
        Run.objects.filter(pk__in=ids).update(queue=queue, blocked_on="job:send")


@pytest.mark.parametrize("options", LIMITS, ids=str)
def test_a_slot_that_somebody_forgot_to_offer_is_offered(configure: Configure, options: dict[str, Any]) -> None:
    configure(**options)
    office = Office()
    first, second, third = office.add_many(3, key="7")
    office.claim()
    forget(first)
    assert office.claim() == []

    assert Sweep().turn() is True

    assert list(parked()) == [third]
    assert office.claim() == [second]


@pytest.mark.parametrize("options", LIMITS, ids=str)
def test_nobody_is_called_for_a_slot_that_is_taken_or_was_offered(
    configure: Configure, options: dict[str, Any]
) -> None:
    configure(**options)
    office, sweeping = Office(), Sweep()
    first, second, third, fourth = office.add_many(4, key="7")
    office.claim()
    assert sweeping.turn() is False
    forget(first)
    assert sweeping.turn() is True
    assert sweeping.turn() is False
    assert list(parked()) == [third, fourth]

    office.claim()
    forget(second)

    assert sweeping.turn() is True
    assert list(parked()) == [fourth]


def test_one_who_is_put_off_after_being_called_leaves_the_slot_to_the_next(configure: Configure) -> None:
    configure(concurrent_jobs_per_key=1)
    office, sweeping = Office(), Sweep()
    first, second, third, fourth = office.add_many(4, key="7")
    office.claim()
    forget(first)
    assert sweeping.turn() is True

    operations.reschedule(second, actor="ana", delay_seconds=86_400)

    assert sweeping.turn() is True
    assert list(parked()) == [fourth]
    assert office.claim() == [third]


def test_a_limit_that_is_gone_holds_nobody(configure: Configure) -> None:
    configure(concurrent_jobs_per_key=1, rate_limit="1/h")
    office = Office()
    ids = [*office.add_many(2, key="7"), office.add(key="8")]
    office.claim()
    assert len(parked()) == 2

    configure()
    assert Sweep().turn() is True

    assert parked() == {}
    assert Office("worker-b").claim() == ids[1:]
    assert LimitBucket.objects.count() == 0


@pytest.mark.parametrize("change", [{"paused_at": None}, {"paused_until": timezone.now() - timedelta(minutes=1)}])
def test_a_pause_that_is_over_holds_nobody_however_many_they_are(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    monkeypatch.setattr(sweep, "BATCH", 10)
    monkeypatch.setattr(sweep, "LONGEST_SECONDS", 60)
    park_on_a_pause(configure, 35)
    QueueState.objects.update(**change)

    Sweep().turn()

    assert parked() == {}


def park_on_a_pause(configure: Configure, number: int) -> None:
    """Park so many runs of a job that is paused."""
    configure()
    office = Office()
    QueueState.objects.create(queue="mail", job="send", paused_at=timezone.now())
    office.add_many(number)
    office.claim()
    office.claim()
    assert len(parked()) == number


def test_a_sweep_whose_time_is_over_calls_no_second_batch(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "BATCH", 10)
    monkeypatch.setattr(sweep, "LONGEST_SECONDS", 0)
    park_on_a_pause(configure, 35)
    QueueState.objects.update(paused_at=None)

    assert Sweep().turn() is True

    assert len(parked()) == 25


def test_a_long_line_does_not_take_the_turn_of_the_next_queue(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "BATCH", 10)
    monkeypatch.setattr(sweep, "LONGEST_SECONDS", 0)
    settings.JOBQUEUE = {"queues": {"mail": {}, "post": {}}}
    held_by_nothing(35, 1)

    assert Sweep().turn() is True

    assert Run.objects.filter(queue="mail").exclude(blocked_on=None).count() == 25
    assert not Run.objects.filter(queue="post").exclude(blocked_on=None).exists()


def test_a_raised_limit_lets_as_many_go(configure: Configure) -> None:
    configure(jobs={"send": {"concurrent_jobs": 1}})
    office = Office()
    ids = office.add_many(5)
    office.claim()
    QueueState.objects.create(queue="mail", job="send", concurrent_jobs=3)

    sweep_queue("mail")

    assert list(parked()) == ids[3:]
    assert office.claim() == ids[1:3]


def test_a_line_that_no_bucket_knows_of_gets_one(configure: Configure) -> None:
    configure(rate_limit="1/h", rate_burst=2)
    office = Office()
    ids = office.add_many(5)
    office.claim()
    LimitBucket.objects.all().delete()
    assert office.claim() == []

    Sweep().turn()

    assert office.claim() == ids[2:4]
    assert len(parked()) == 1


def test_a_line_that_its_bucket_has_forgotten_is_remembered(configure: Configure) -> None:
    configure(rate_limit="1/h")
    office = Office()
    ids = office.add_many(2)
    office.claim()
    LimitBucket.objects.update(next_at=None, updated_at=timezone.now() - timedelta(hours=1))
    assert office.claim() == []

    Sweep().turn()

    assert office.claim() == ids[1:]


def test_more_lines_than_one_sweep_looks_at_are_looked_at_by_the_next(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "LINES", 3)
    configure(concurrent_jobs_per_key=1)
    office, sweeping = Office(), Sweep()
    firsts = [office.add(key=str(number)) for number in range(8)]
    for number in range(8):
        office.add(key=str(number))
    office.claim()
    forget(*firsts)

    turns = [sweeping.turn() for _ in range(4)]

    assert turns == [True, True, True, False]
    assert parked() == {}


def test_lines_of_other_namespaces_and_queues_are_left_alone(configure: Configure, settings: Settings) -> None:
    configure()
    office = Office()
    ids = office.add_many(2)
    Run.objects.update(blocked_on="job:send")
    Run.objects.filter(pk=ids[0]).update(namespace="other")
    Run.objects.filter(pk=ids[1]).update(queue="elsewhere")

    assert Sweep().turn() is False
    assert list(parked()) == ids


def test_an_external_queue_is_left_to_those_who_work_it_and_know_its_rules(configure: Configure) -> None:
    configure(rate_limit="1/h", concurrent_jobs_per_key=1)
    office = Office()
    office.add_many(2, key="7")
    office.add(key="8")
    office.claim()
    theirs = parked(), list(LimitBucket.objects.values())
    assert sorted(theirs[0].values()) == ["key:/7", "rate:"]

    configure(external=True)
    assert Sweep().turn() is False
    sweep_queue("mail")

    assert (parked(), list(LimitBucket.objects.values())) == theirs


def test_the_lines_of_an_external_queue_do_not_count_as_looked_at(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "LINES", 1)
    settings.JOBQUEUE = {"queues": {"mail": {"external": True}, "post": {}}}
    held_by_nothing(1, 1)

    assert Sweep().turn() is True

    assert [run.queue for run in Run.objects.filter(blocked_on=None)] == ["post"]


def cancel_one(run_id: int) -> None:
    operations.cancel(run_id, actor="ana")


def cancel_among_many(run_id: int) -> None:
    operations.cancel_many(operations.RunFilter(ids=[run_id]), actor="ana")


def expire(run_id: int) -> None:
    Run.objects.filter(pk=run_id).update(expires_at=timezone.now() - timedelta(seconds=1))
    expire_some()


def replace(run_id: int) -> None:
    Run.objects.filter(pk=run_id).update(unique_lock="l1")
    new = NewRun(queue="mail", job="other", unique_lock="l1", on_duplicate=OnDuplicate.REPLACE)
    insert_unique([new])


@pytest.mark.parametrize("cancel", [cancel_one, cancel_among_many, expire, replace])
@pytest.mark.parametrize("options", LIMITS, ids=str)
def test_one_who_is_cancelled_after_being_called_leaves_the_slot_to_the_next(
    configure: Configure,
    options: dict[str, Any],
    cancel: Callable[[int], None],
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    configure(**options)
    office = Office()
    first, second, third, fourth = office.add_many(4, key="7")
    office.claim()
    office.end(first)
    assert list(parked()) == [third, fourth]

    with django_capture_on_commit_callbacks(execute=True):
        cancel(second)
    Run.objects.filter(job="other").delete()

    assert office.claim() == [third]
    assert list(parked()) == [fourth]


def test_a_run_whose_job_has_come_to_limit_keys_by_itself_does_not_wait_for_the_order_of_the_queue(
    configure: Configure,
) -> None:
    in_order = {"concurrent_jobs_per_key": 1, "keep_order": True}
    configure(**in_order)
    office = Office()
    first, second = office.add("post", key="7"), office.add("send", key="7")
    office.claim()
    office.lose(first)
    assert parked() == {second: "key:/7"}
    forget(first)

    configure(**in_order, jobs={"send": {"concurrent_jobs_per_key": 1}})

    assert Sweep().turn() is True
    assert Office("worker-b").claim() == [second]


@pytest.mark.parametrize("cancel", [cancel_one, cancel_among_many, expire, replace])
def test_who_waits_in_order_behind_one_who_is_cancelled_is_called_at_once(
    configure: Configure,
    cancel: Callable[[int], None],
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    configure(concurrent_jobs_per_key=1, keep_order=True)
    office = Office()
    retried, second = office.add_many(2, key="7")
    office.claim()
    office.end(retried, state=State.PENDING)
    Run.objects.filter(pk=retried).update(run_at=timezone.now() + timedelta(hours=1))
    assert office.claim() == []

    with django_capture_on_commit_callbacks(execute=True):
        cancel(retried)
    Run.objects.filter(job="other").delete()

    assert office.claim() == [second]


def test_a_queue_with_very_many_lines_does_not_keep_the_sweep_from_the_others(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "LINES", 6)
    settings.JOBQUEUE = {"queues": {"mail": {"concurrent_jobs_per_key": 1}, "post": {}}}
    office, sweeping = Office(), Sweep()
    for number in [*range(20), *range(20)]:
        office.add(key=str(number))
    office.claim()
    assert sweeping.turn() is False

    for _ in range(2):
        forgotten = Run.objects.filter(pk=office.add())
        forgotten.update(queue="post", blocked_on="pause:send")
        assert sweeping.turn() is True
        assert forgotten.get().blocked_on is None


def test_one_transaction_calls_no_more_than_a_batch_from_all_lines_together(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "BATCH", 10)
    monkeypatch.setattr(sweep, "LONGEST_SECONDS", 0)
    configure()
    office = Office()
    for key in "abcde":
        office.add_many(8, key=key)
        Run.objects.filter(concurrency_key=key).update(blocked_on=f"key:/{key}")

    assert Sweep().turn() is True

    assert len(parked()) == 30


def test_a_limit_that_is_raised_very_far_does_not_let_all_go_at_once(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "BATCH", 10)
    configure(jobs={"send": {"concurrent_jobs": 2**31 - 1}})
    office, sweeping = Office(), Sweep()
    office.add_many(35)
    Run.objects.update(blocked_on="job:send")

    assert sweeping.turn() is True
    assert len(parked()) == 25
    assert sweeping.turn() is False

    office.claim()
    assert sweeping.turn() is True
    assert len(parked()) == 15
