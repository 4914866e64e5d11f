"""The fence of ``settle``: a run's id, the number of its attempt, and a lease that is still there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest

from django_jobqueue.engines.base import Engine, Ref, Settlement
from django_jobqueue.models import Attempt
from django_jobqueue.states import State
from tests.engines.conftest import Expire, MakeRun, Row, Table, Take
from tests.engines.endings import completed, failed, reap, retried, sent_back

pytestmark = pytest.mark.django_db

Ending: TypeAlias = Callable[[Ref], Settlement]


@pytest.mark.parametrize("number", [0, 2, -1])
def test_another_attempt_number_settles_nothing(
    engine: Engine, make_run: MakeRun, take: Take, table: Table, number: int
) -> None:
    make_run()
    claim = take()
    before = table()

    assert engine.settle([completed(Ref(claim.id, number))]) == {}
    assert table() == before
    assert not Attempt.objects.exists()


def test_an_unknown_run_settles_nothing(engine: Engine, make_run: MakeRun, take: Take, table: Table) -> None:
    make_run()
    claim = take()
    before = table()

    assert engine.settle([completed(Ref(claim.id + 1_000_000, 1))]) == {}
    assert table() == before
    assert not Attempt.objects.exists()


def test_a_run_that_was_never_claimed_settles_nothing(engine: Engine, make_run: MakeRun, table: Table) -> None:
    run_id = make_run()
    before = table()

    assert engine.settle([completed(Ref(run_id, 0))]) == {}
    assert table() == before
    assert not Attempt.objects.exists()


@pytest.mark.parametrize("first", [failed, retried])
def test_an_attempt_is_settled_once(engine: Engine, make_run: MakeRun, take: Take, table: Table, first: Ending) -> None:
    make_run()
    claim = take()
    engine.settle([first(claim.ref)])
    before = table()

    assert engine.settle([completed(claim.ref)]) == {}
    assert table() == before
    assert Attempt.objects.get().outcome == first(claim.ref).outcome


def test_a_stale_attempt_cannot_settle_the_next_one(
    engine: Engine, make_run: MakeRun, take: Take, expire: Expire, table: Table
) -> None:
    make_run()
    stale = take("worker-a")
    expire(stale)
    reap(engine, "default", sent_back)
    fresh = take("worker-b")
    before = table()

    assert engine.settle([completed(stale.ref)]) == {}
    assert table() == before
    assert engine.settle([completed(fresh.ref)]) == {fresh.ref: State.COMPLETED}


def test_a_lease_that_is_over_but_not_reaped_is_still_ours(
    engine: Engine, make_run: MakeRun, take: Take, expire: Expire
) -> None:
    make_run()
    claim = take()
    expire(claim)

    assert engine.settle([completed(claim.ref)]) == {claim.ref: State.COMPLETED}


def test_of_a_mixed_batch_only_what_is_ours_is_written(engine: Engine, make_run: MakeRun, row: Row) -> None:
    for _ in range(3):
        make_run()
    good, released, running = engine.claim("default", "mail", worker="worker-a", limit=3, lease_seconds=30)
    engine.release([released.ref])

    answer = engine.settle([completed(released.ref), completed(good.ref), completed(Ref(running.id, 7))])

    assert answer == {good.ref: State.COMPLETED}
    assert [row(claim.id).state for claim in (good, released, running)] == ["completed", "pending", "running"]
    assert list(Attempt.objects.values_list("run_id", "number")) == [good.ref]


def test_of_several_attempts_of_one_run_the_running_one_is_settled(
    engine: Engine, make_run: MakeRun, take: Take, row: Row
) -> None:
    make_run()
    engine.release([take().ref])
    claim = take()

    answer = engine.settle([failed(Ref(claim.id, 1)), completed(claim.ref), failed(Ref(claim.id, 3))])

    assert answer == {claim.ref: State.COMPLETED}
    assert row(claim.id).state == State.COMPLETED
    assert list(Attempt.objects.values_list("number", "outcome")) == [(2, "completed")]


def test_an_attempt_that_is_given_twice_in_a_batch_is_written_once(
    engine: Engine, make_run: MakeRun, take: Take
) -> None:
    make_run()
    claim = take()

    assert engine.settle([completed(claim.ref), completed(claim.ref)]) == {claim.ref: State.COMPLETED}
    assert Attempt.objects.count() == 1
