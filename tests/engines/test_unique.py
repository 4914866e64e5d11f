"""No two runs hold the same lock; what ends the reach of a lock takes it off the run in the same statement."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from django_jobqueue.engines.base import Claim, Engine, NewRun
from django_jobqueue.models import Run
from tests.engines import endings
from tests.engines.conftest import Expire, MakeRun, RequestCancel, Row, Take
from tests.engines.endings import completed, failed, given_up, retried, sent_back

pytestmark = pytest.mark.django_db


def unique(*locks: str | None, **fields: Any) -> list[NewRun]:
    return [NewRun(queue="mail", job=f"job-{n}", unique_lock=lock, **fields) for n, lock in enumerate(locks)]


def held() -> dict[int, str | None]:
    return dict(Run.objects.order_by("id").values_list("id", "unique_lock"))


# --- Inserting -------------------------------------------------------------------------------------------------------


def test_runs_with_locks_are_inserted_with_all_their_fields(engine: Engine, row: Row) -> None:
    fields: dict[str, Any] = {"unique_key": "7", "priority": -3, "tags": ("a",), "expires_after_seconds": 60}

    [inserted] = engine.insert_unique("shop", unique("la", **fields))

    assert inserted is not None
    run = row(inserted.id)
    assert (run.namespace, run.queue, run.job, run.unique_key, run.unique_lock) == ("shop", "mail", "job-0", "7", "la")
    assert (run.priority, run.tags, run.run_at, run.created_at) == (-3, ["a"], inserted.run_at, inserted.created_at)
    assert run.expires_at == inserted.expires_at
    assert run.expires_at is not None


def test_a_run_whose_lock_is_held_is_left_out_and_the_others_are_not(engine: Engine, row: Row) -> None:
    engine.insert_unique("default", unique("lb", "ld"))

    answers = engine.insert_unique("default", unique("la", "lb", None, "lc", "ld", None))

    assert [answer and row(answer.id).job for answer in answers] == ["job-0", None, "job-2", "job-3", None, "job-5"]
    ids = [answer.id for answer in answers if answer is not None]
    assert ids == sorted(ids)


def test_the_first_of_a_batch_with_a_lock_gets_it(engine: Engine) -> None:
    answers = engine.insert_unique("default", unique("lb", "la", "lb", "la", "lb"))

    assert [answer is not None for answer in answers] == [True, True, False, False, False]
    assert list(held().values()) == ["lb", "la"]


def test_the_ids_of_a_batch_rise_whatever_its_locks_are(engine: Engine) -> None:
    answers = engine.insert_unique("default", unique("lc", None, "lb", "la"))

    ids = [answer.id for answer in answers if answer is not None]
    assert ids == sorted(ids)
    assert len(ids) == 4


def test_any_number_of_runs_may_hold_no_lock(engine: Engine) -> None:
    assert None not in engine.insert_unique("default", unique(None, None, None))


def test_the_same_lock_may_be_held_in_another_namespace(engine: Engine) -> None:
    engine.insert_unique("default", unique("la"))

    assert engine.insert_unique("other", unique("la")) != [None]
    assert engine.insert_unique("default", unique("la")) == [None]


def test_a_lock_that_is_held_does_not_break_the_transaction(engine: Engine) -> None:
    engine.insert_unique("default", unique("la"))

    with transaction.atomic():
        engine.insert_unique("default", unique("la"))
        engine.insert("default", unique(None))

    assert list(held().values()) == ["la", None]


def test_the_table_itself_refuses_a_second_lock(engine: Engine) -> None:
    engine.insert("default", unique("la"))

    with pytest.raises(IntegrityError), transaction.atomic():
        engine.insert("default", unique("la"))


# --- Letting go ------------------------------------------------------------------------------------------------------

LOCKS = ["p", "l", "w"]


@pytest.fixture(params=LOCKS)
def lock(request: pytest.FixtureRequest) -> str:
    return f"{request.param}-lock"


@pytest.fixture
def pending(make_run: MakeRun, lock: str) -> int:
    return make_run(unique_lock=lock)


@pytest.fixture
def taken(pending: int, take: Take, lock: str) -> Claim:
    """A running run that holds its lock, even one that a claim takes off."""
    claim = take()
    Run.objects.filter(pk=pending).update(unique_lock=lock)
    return claim


def test_a_claim_takes_off_the_lock_of_pending(pending: int, take: Take, lock: str) -> None:
    take()

    assert held() == {pending: None if lock == "p-lock" else lock}


def test_a_claim_under_limits_takes_off_the_lock_of_pending(engine: Engine, pending: int, lock: str) -> None:
    engine.take([pending], worker="worker-a", lease_seconds=30)

    assert held() == {pending: None if lock == "p-lock" else lock}


Ending = Callable[[Engine, Claim, Expire], object]


def reap(engine: Engine, claim: Claim, expire: Expire) -> None:
    expire(claim)
    endings.reap(engine, "default", given_up)


ENDS: dict[str, Ending] = {
    "completed": lambda engine, claim, _: engine.settle([completed(claim.ref)]),
    "failed": lambda engine, claim, _: engine.settle([failed(claim.ref)]),
    "dead-lettered by the reaper": reap,
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_an_end_takes_off_every_lock_but_that_of_a_window(
    engine: Engine, taken: Claim, expire: Expire, lock: str, end: Ending
) -> None:
    end(engine, taken, expire)

    assert Run.objects.ended().exists()
    assert held() == {taken.id: lock if lock == "w-lock" else None}


def reaped_to_pending(engine: Engine, claim: Claim, expire: Expire) -> None:
    expire(claim)
    endings.reap(engine, "default", sent_back)


BACK: dict[str, Ending] = {
    "retried": lambda engine, claim, _: engine.settle([retried(claim.ref)]),
    "released": lambda engine, claim, _: engine.release([claim.ref]),
    "reaped": reaped_to_pending,
}


@pytest.mark.parametrize("end", BACK.values(), ids=BACK)
def test_a_run_that_goes_back_to_pending_keeps_its_lock(
    engine: Engine, taken: Claim, expire: Expire, lock: str, end: Ending
) -> None:
    end(engine, taken, expire)

    assert Run.objects.in_state("pending").exists()
    assert held() == {taken.id: lock}


@pytest.mark.parametrize("end", BACK.values(), ids=BACK)
def test_a_run_that_is_cancelled_instead_of_going_back_lets_go(
    engine: Engine, taken: Claim, expire: Expire, request_cancel: RequestCancel, lock: str, end: Ending
) -> None:
    request_cancel(taken)

    end(engine, taken, expire)

    assert Run.objects.in_state("cancelled").exists()
    assert held() == {taken.id: lock if lock == "w-lock" else None}


def test_a_pending_run_that_is_cancelled_lets_go(pending: int, lock: str) -> None:
    assert Run.objects.all().cancel_pending() == 1

    assert held() == {pending: lock if lock == "w-lock" else None}


def test_a_pending_run_that_is_replaced_lets_go_of_any_lock(pending: int, row: Row) -> None:
    assert Run.objects.all().replace_pending() == 1

    assert held() == {pending: None}
    assert (row(pending).state, row(pending).reason) == ("cancelled", "replaced")
    assert row(pending).cancel_requested_at is None
