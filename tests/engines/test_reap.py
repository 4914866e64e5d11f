from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from django_jobqueue.engines.base import Engine, LostRun, Settlement
from django_jobqueue.models import Attempt, Run
from django_jobqueue.states import Delivery, Outcome, Reason, State
from tests.engines.conftest import Expire, MakeRun, RequestCancel, Row, Take
from tests.engines.endings import completed, given_up, reap, sent_back

pytestmark = pytest.mark.django_db


def test_a_lost_run_is_shown_as_it_was_and_goes_where_it_is_sent(
    engine: Engine, make_run: MakeRun, take: Take, expire: Expire, row: Row
) -> None:
    make_run(job="welcome", delivery=Delivery.AT_MOST_ONCE)
    Run.objects.update(crashes=2)
    claim = take("worker-a")
    expire(claim)
    seen = []

    def decide(lost: LostRun) -> Settlement:
        seen.append(lost)
        return sent_back(lost)

    [(lost, state)] = reap(engine, "default", decide)

    assert seen == [lost]
    assert lost == LostRun(claim.id, 1, "mail", "welcome", "worker-a", 2, "at_most_once", None, claim.run_at)
    run = row(claim.id)
    assert (state, run.state, run.crashes, run.lease_until) == (State.PENDING, State.PENDING, 3, None)
    assert take("worker-b").ref == (claim.id, 2)


def test_a_lost_run_is_not_due_later_than_now_where_the_clock_was_put_back(
    engine: Engine, make_run: MakeRun, take: Take, expire: Expire
) -> None:
    make_run()
    expire(take())
    Run.objects.update(run_at=timezone.now() + timedelta(hours=2))

    [(lost, _)] = reap(engine, "default", sent_back)

    assert lost.run_at <= engine.now()


def test_the_attempt_of_a_lost_run_is_written_in_the_name_of_its_worker(
    engine: Engine, make_run: MakeRun, take: Take, expire: Expire, row: Row
) -> None:
    make_run()
    claim = take("worker-a")
    expire(claim)

    assert reap(engine, "default", given_up)[0][1] == State.DEAD_LETTERED

    run, attempt = row(claim.id), Attempt.objects.get()
    assert (run.state, run.reason) == (State.DEAD_LETTERED, Reason.MAX_CRASHES)
    assert run.finished_at is not None
    assert (attempt.number, attempt.worker, attempt.outcome) == (1, "worker-a", Outcome.CRASHED)
    assert (attempt.started_at, attempt.finished_at) == (run.started_at, run.finished_at)


def test_a_run_whose_lease_holds_is_not_even_looked_at(
    engine: Engine, make_run: MakeRun, take: Take, expire: Expire, row: Row
) -> None:
    for _ in range(3):
        make_run()
    held, lost = take(), take()
    expire(lost)
    seen = []

    def decide(run: LostRun) -> Settlement:
        seen.append(run.id)
        return given_up(run)

    reap(engine, "default", decide)

    assert seen == [lost.id]
    assert row(held.id).state == State.RUNNING


def test_the_runs_of_another_namespace_are_not_reaped(
    engine: Engine, make_run: MakeRun, take: Take, expire: Expire
) -> None:
    make_run()
    expire(take())

    assert reap(engine, "other", given_up) == []
    assert len(reap(engine, "default", given_up)) == 1


def test_the_runs_of_every_queue_are_reaped(engine: Engine, make_run: MakeRun) -> None:
    for queue in ("mail", "digest"):
        make_run(queue=queue)
        engine.claim("default", queue, worker="worker-a", limit=1, lease_seconds=-60)

    assert {lost.queue for lost, _state in reap(engine, "default", sent_back)} == {"mail", "digest"}


def test_the_longest_lost_are_reaped_first_and_no_more_than_the_limit(engine: Engine, make_run: MakeRun) -> None:
    ids = [make_run() for _ in range(5)]
    for minutes, run_id in enumerate(ids):
        engine.claim("default", "mail", worker="worker-a", limit=1, lease_seconds=60)
        Run.objects.filter(pk=run_id).update(lease_until=timezone.now() - timedelta(minutes=1 + minutes))

    batches = [reap(engine, "default", given_up, limit=2) for _ in range(4)]

    assert [{lost.id for lost, _state in batch} for batch in batches] == [set(ids[3:]), set(ids[1:3]), {ids[0]}, set()]


def test_a_run_that_is_asked_to_cancel_is_cancelled_whatever_is_decided(
    engine: Engine, make_run: MakeRun, take: Take, expire: Expire, request_cancel: RequestCancel, row: Row
) -> None:
    make_run()
    make_run()
    for claim in (take(), take()):
        expire(claim)
        request_cancel(claim)
    ways = iter([sent_back, given_up])

    reaped = reap(engine, "default", lambda lost: next(ways)(lost))

    assert [state for _lost, state in reaped] == [State.CANCELLED, State.CANCELLED]
    for lost, _state in reaped:
        run = row(lost.id)
        assert (run.state, run.reason, run.crashes) == (State.CANCELLED, Reason.CANCELLED, 1)
        assert run.finished_at is not None
        assert run.attempts.get().outcome == Outcome.CANCELLED


def test_a_run_that_is_renewed_meanwhile_is_not_reaped(
    engine: Engine, make_run: MakeRun, take: Take, expire: Expire, row: Row
) -> None:
    make_run()
    make_run()
    renewed, lost = take(), take()
    expire(renewed)
    expire(lost)

    def decide(run: LostRun) -> Settlement:
        engine.renew([(renewed.ref, 30)])
        return given_up(run)

    assert [run.id for run, _state in reap(engine, "default", decide)] == [lost.id]
    assert (row(renewed.id).state, row(renewed.id).crashes) == (State.RUNNING, 0)
    assert list(Attempt.objects.values_list("run", flat=True)) == [lost.id]


def test_a_run_that_ends_meanwhile_is_not_reaped(
    engine: Engine, make_run: MakeRun, take: Take, expire: Expire, row: Row
) -> None:
    make_run()
    claim = take()
    expire(claim)

    def decide(run: LostRun) -> Settlement:
        assert engine.settle([completed(claim.ref)])
        return given_up(run)

    assert reap(engine, "default", decide) == []
    assert row(claim.id).state == State.COMPLETED
    assert Attempt.objects.get().outcome == Outcome.COMPLETED


def test_a_run_that_is_taken_and_lost_again_meanwhile_is_left_to_the_next_reaper(
    engine: Engine, make_run: MakeRun, take: Take, expire: Expire, row: Row
) -> None:
    make_run()
    claim = take()
    expire(claim)

    def decide(run: LostRun) -> Settlement:
        engine.release([claim.ref])
        expire(take("worker-b"))
        return given_up(run)

    assert reap(engine, "default", decide) == []
    assert (row(claim.id).state, row(claim.id).worker) == (State.RUNNING, "worker-b")
    assert not Attempt.objects.exists()


def test_every_crash_is_one_attempt(engine: Engine, make_run: MakeRun, take: Take, expire: Expire, row: Row) -> None:
    run_id = make_run()
    for _ in range(3):
        expire(take())
        reap(engine, "default", sent_back)

    assert (row(run_id).attempt, row(run_id).crashes) == (3, 3)
    assert list(Attempt.objects.values_list("number", "outcome")) == [(1, "crashed"), (2, "crashed"), (3, "crashed")]
