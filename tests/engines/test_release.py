from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from django_jobqueue.engines.base import Engine, Ref
from django_jobqueue.models import Attempt, Run
from django_jobqueue.states import Reason, State
from tests.engines.conftest import Expire, MakeRun, RequestCancel, Row, Table, Take

pytestmark = pytest.mark.django_db


def test_a_released_run_is_pending_again_without_a_trace_in_its_history(
    engine: Engine, make_run: MakeRun, take: Take, row: Row
) -> None:
    make_run()
    claim = take()

    assert engine.release([claim.ref]) == {claim.ref: State.PENDING}

    run = row(claim.id)
    assert (run.state, run.reason, run.lease_until, run.finished_at) == (State.PENDING, None, None, None)
    assert (run.attempt, run.failures, run.crashes, run.snoozes, run.releases) == (1, 0, 0, 0, 1)
    assert not Attempt.objects.exists()
    assert take().ref == (claim.id, 2)


def test_a_released_run_has_its_old_place_in_the_line(engine: Engine, make_run: MakeRun, take: Take, row: Row) -> None:
    """Even where the clock was put back meanwhile it need not wait."""
    long_ago, to_come = datetime(2020, 1, 1, tzinfo=UTC), timezone.now() + timedelta(hours=2)
    first, second = make_run(run_at=long_ago), make_run(run_at=datetime(2021, 1, 1, tzinfo=UTC))
    claim, ahead = take(), take()
    Run.objects.filter(pk=second).update(run_at=to_come)

    engine.release([ahead.ref, claim.ref])

    assert row(first).run_at == long_ago
    assert row(second).run_at <= timezone.now() + timedelta(seconds=5)
    assert [take().id, take().id] == [first, second]


@pytest.mark.parametrize("delay_seconds", [0.0, 30.5])
def test_a_released_run_may_have_to_wait(
    engine: Engine, make_run: MakeRun, take: Take, row: Row, delay_seconds: float
) -> None:
    make_run(run_at=datetime(2020, 1, 1, tzinfo=UTC))
    claim = take()

    before = engine.now()
    engine.release([claim.ref], delay_seconds=delay_seconds)

    assert before <= row(claim.id).run_at - timedelta(seconds=delay_seconds) <= engine.now()


def test_a_released_run_that_is_asked_to_cancel_is_cancelled(
    engine: Engine, make_run: MakeRun, take: Take, request_cancel: RequestCancel, row: Row
) -> None:
    make_run()
    make_run()
    cancelled, back = take(), take()
    request_cancel(cancelled)

    assert engine.release([cancelled.ref, back.ref]) == {cancelled.ref: State.CANCELLED, back.ref: State.PENDING}

    run = row(cancelled.id)
    assert (run.state, run.reason, run.lease_until, run.releases) == (State.CANCELLED, Reason.CANCELLED, None, 1)
    assert run.finished_at is not None
    assert not Attempt.objects.exists()


def test_only_what_is_ours_is_released(engine: Engine, make_run: MakeRun, table: Table) -> None:
    for _ in range(3):
        make_run()
    first, again, third = engine.claim("default", "mail", worker="worker-a", limit=3, lease_seconds=30)
    engine.release([again.ref])
    before = table()[1:]

    answer = engine.release([again.ref, first.ref, Ref(third.id, 2), Ref(third.id, 0), Ref(third.id + 1_000_000, 1)])

    assert answer == {first.ref: State.PENDING}
    assert table()[1:] == before


def test_a_stale_attempt_cannot_release_the_next_one(engine: Engine, make_run: MakeRun, take: Take, row: Row) -> None:
    make_run()
    stale = take()
    engine.release([stale.ref])
    take("worker-b")

    assert engine.release([stale.ref]) == {}
    assert (row(stale.id).state, row(stale.id).worker, row(stale.id).releases) == (State.RUNNING, "worker-b", 1)


def test_a_lease_that_is_over_but_not_reaped_can_be_released(
    engine: Engine, make_run: MakeRun, take: Take, expire: Expire
) -> None:
    make_run()
    claim = take()
    expire(claim)

    assert engine.release([claim.ref]) == {claim.ref: State.PENDING}


def test_releasing_nothing_answers_nothing(engine: Engine, make_run: MakeRun, take: Take) -> None:
    make_run()
    take()

    assert engine.release([]) == {}
    assert Run.objects.in_state(State.RUNNING).count() == 1


def test_a_release_that_is_rolled_back_never_was(engine: Engine, make_run: MakeRun, take: Take, table: Table) -> None:
    make_run()
    claim = take()
    before = table()

    with transaction.atomic():
        engine.release([claim.ref])
        transaction.set_rollback(True)

    assert table() == before
