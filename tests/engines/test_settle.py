from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_jobqueue.engines.base import Counter, Engine, Note, Ref, Settlement
from django_jobqueue.models import Attempt, Run
from django_jobqueue.states import Outcome, Reason, State
from tests.engines.conftest import MakeRun, RequestCancel, Row, Table, Take
from tests.engines.endings import completed, failed, retried

pytestmark = pytest.mark.django_db

COUNTERS = ("failures", "crashes", "snoozes", "releases")

# What a worker writes: the outcome, the state that it leads to, why, and what it counts as.
ENDS: list[tuple[Outcome, State, Reason | None, Counter | None]] = [
    (Outcome.COMPLETED, State.COMPLETED, Reason.RETURNED, None),
    (Outcome.FAILED, State.FAILED, Reason.JOB_FAILED, "failures"),
    (Outcome.FAILED, State.FAILED, Reason.INVALID_RESULT, None),
    (Outcome.DEAD_LETTERED, State.DEAD_LETTERED, Reason.MAX_ATTEMPTS, "failures"),
    (Outcome.TIMED_OUT, State.DEAD_LETTERED, Reason.MAX_ATTEMPTS, "failures"),
    (Outcome.CRASHED, State.DEAD_LETTERED, Reason.LOST, "crashes"),
    (Outcome.CANCELLED, State.CANCELLED, Reason.CANCELLED, None),
]
RETURNS: list[tuple[Outcome, Counter]] = [
    (Outcome.RETRIED, "failures"),
    (Outcome.TIMED_OUT, "failures"),
    (Outcome.SNOOZED, "snoozes"),
    (Outcome.CRASHED, "crashes"),
    (Outcome.RELEASED, "releases"),
]


def counts(run: Run) -> dict[str, int]:
    return {counter: getattr(run, counter) for counter in COUNTERS if getattr(run, counter)}


@pytest.mark.parametrize(("outcome", "state", "reason", "counter"), ENDS, ids=lambda word: word or "uncounted")
def test_a_run_ends_as_its_attempt_did(
    engine: Engine,
    make_run: MakeRun,
    take: Take,
    row: Row,
    outcome: Outcome,
    state: State,
    reason: Reason,
    counter: Counter | None,
) -> None:
    make_run()
    claim = take("worker-b")
    before = row(claim.id)

    end = Settlement(claim.ref, outcome=outcome, state=state, reason=reason, counter=counter)
    assert engine.settle([end]) == {claim.ref: state}

    run = row(claim.id)
    assert (run.state, run.reason, run.attempt, run.worker) == (state, reason, 1, "worker-b")
    assert run.lease_until is None
    assert run.finished_at is not None
    assert run.started_at is not None
    assert before.started_at == run.started_at < run.finished_at < timezone.now() + timedelta(seconds=5)
    assert run.run_at == before.run_at
    assert counts(run) == ({counter: 1} if counter else {})
    assert run.attempts.get().outcome == outcome


@pytest.mark.parametrize(("outcome", "counter"), RETURNS)
def test_a_run_goes_back_to_pending_and_counts_why(
    engine: Engine, make_run: MakeRun, take: Take, row: Row, outcome: Outcome, counter: Counter
) -> None:
    make_run()
    claim = take()

    answer = engine.settle([retried(claim.ref, outcome=outcome, counter=counter, error="not yet")])

    run = row(claim.id)
    assert answer == {claim.ref: State.PENDING}
    assert (run.state, run.reason, run.attempt) == (State.PENDING, None, 1)
    assert (run.lease_until, run.finished_at, run.result, run.error) == (None, None, None, "not yet")
    assert counts(run) == {counter: 1}
    assert run.attempts.get().outcome == outcome
    assert take().ref == (claim.id, 2)


def test_a_run_that_goes_back_is_due_at_once_or_after_a_delay(
    engine: Engine, make_run: MakeRun, take: Take, row: Row
) -> None:
    make_run(run_at=datetime(2020, 1, 1, tzinfo=UTC))

    def back(**fields: Any) -> datetime:
        claim = take()
        engine.settle([retried(claim.ref, **fields)])
        return row(claim.id).run_at

    before = engine.now()
    assert before <= back() <= engine.now()
    assert back(run_at=before - timedelta(minutes=2), delay_seconds=60.5) == before - timedelta(seconds=59.5)
    before = engine.now()
    assert before <= back(delay_seconds=90) - timedelta(seconds=90) <= engine.now()


@pytest.mark.parametrize("result", [0, [], "", False, None, {"naïve": ["'", '"', "%s", 1.5]}], ids=json.dumps)
def test_any_result_is_kept(engine: Engine, make_run: MakeRun, take: Take, row: Row, result: object) -> None:
    make_run()
    claim = take()

    engine.settle([completed(claim.ref, result=json.dumps(result))])

    assert row(claim.id).result == result


def test_a_job_without_a_result_leaves_null(engine: Engine, make_run: MakeRun, take: Take) -> None:
    make_run()

    engine.settle([completed(take().ref)])

    assert Run.objects.filter(result__isnull=True, error__isnull=True).exists()


def test_an_attempt_leaves_one_row_of_history(engine: Engine, make_run: MakeRun, take: Take, row: Row) -> None:
    make_run()
    claim = take("worker-b")
    words = {"error": "Žádná pošta: 100 % of 'it'", "traceback": 'File "a.py"\n  raise "x"'}

    engine.settle([failed(claim.ref, **words)])

    run = row(claim.id)
    [attempt] = Attempt.objects.values()
    assert attempt == {
        "run_id": claim.id,
        "number": 1,
        "worker": "worker-b",
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "outcome": "failed",
        **words,
    }
    assert run.error == words["error"]


def test_an_attempt_started_and_ended_as_long_ago_as_its_worker_says(
    engine: Engine, make_run: MakeRun, take: Take, row: Row
) -> None:
    make_run()
    claim = take()

    now = monotonic()
    engine.settle([completed(claim.ref, started=now - 7.25, finished=now - 2.5)])

    attempt, ended = Attempt.objects.get(), row(claim.id).finished_at
    assert ended is not None
    assert (attempt.finished_at - attempt.started_at).total_seconds() == pytest.approx(4.75, abs=0.001)
    assert timedelta(seconds=2.5) <= ended - attempt.finished_at < timedelta(minutes=5)


def test_every_attempt_has_its_own_row(engine: Engine, make_run: MakeRun, take: Take) -> None:
    make_run()
    for worker in ("worker-a", "worker-b"):
        engine.settle([retried(take(worker).ref)])
    engine.settle([completed(take("worker-c").ref)])

    assert list(Attempt.objects.values_list("number", "worker", "outcome")) == [
        (1, "worker-a", "retried"),
        (2, "worker-b", "retried"),
        (3, "worker-c", "completed"),
    ]


def test_many_attempts_are_settled_each_in_its_own_way(engine: Engine, make_run: MakeRun, row: Row) -> None:
    for _ in range(60):
        make_run()
    claims = engine.claim("default", "mail", worker="worker-a", limit=60, lease_seconds=30)
    ends = [
        Settlement(claim.ref, outcome=end[0], state=end[1], reason=end[2], result=str(claim.id), error=f"no {claim.id}")
        for claim, end in zip(claims, ENDS * 9, strict=False)
    ]

    assert engine.settle(ends) == {end.ref: end.state for end in ends}

    for end in ends:
        run = row(end.ref.id)
        assert (run.state, run.reason, run.result, run.error) == (end.state, end.reason, end.ref.id, end.error)
        assert (run.attempts.get().outcome, run.attempts.get().error) == (end.outcome, end.error)


def test_attempts_that_end_in_one_way_keep_what_each_has_of_its_own(
    engine: Engine, make_run: MakeRun, row: Row
) -> None:
    for _ in range(20):
        make_run()
    claims = engine.claim("default", "mail", worker="worker-a", limit=20, lease_seconds=30)
    now = monotonic()
    ends = [
        completed(
            claim.ref, result=None if number % 3 == 0 else str(number), started=now - number - 1, finished=now - 1
        )
        for number, claim in enumerate(claims)
    ]

    assert len(engine.settle(ends)) == 20

    for number, end in enumerate(ends):
        attempt = row(end.ref.id).attempts.get()
        assert row(end.ref.id).result == (None if number % 3 == 0 else number)
        assert (attempt.finished_at - attempt.started_at).total_seconds() == pytest.approx(number, abs=0.001)


# A run that is asked to cancel never goes back to pending.


@pytest.mark.parametrize(("outcome", "counter"), RETURNS)
def test_a_run_asked_to_cancel_does_not_go_back_to_pending(
    engine: Engine,
    make_run: MakeRun,
    take: Take,
    request_cancel: RequestCancel,
    row: Row,
    outcome: Outcome,
    counter: Counter,
) -> None:
    make_run()
    claim = take()
    request_cancel(claim)

    answer = engine.settle([retried(claim.ref, outcome=outcome, counter=counter, error="not yet")])

    run = row(claim.id)
    assert answer == {claim.ref: State.CANCELLED}
    assert (run.state, run.reason, run.lease_until) == (State.CANCELLED, Reason.CANCELLED, None)
    assert run.finished_at is not None
    assert counts(run) == {counter: 1}
    assert (run.attempts.get().outcome, run.attempts.get().error) == (Outcome.CANCELLED, "not yet")


@pytest.mark.parametrize(
    ("outcome", "counter"), [(end[0], end[3]) for end in ENDS if end[1] == State.DEAD_LETTERED], ids=str
)
def test_a_run_asked_to_cancel_is_cancelled_rather_than_given_up(
    engine: Engine,
    make_run: MakeRun,
    take: Take,
    request_cancel: RequestCancel,
    row: Row,
    outcome: Outcome,
    counter: Counter,
) -> None:
    make_run()
    claim = take()
    request_cancel(claim)

    end = Settlement(claim.ref, outcome=outcome, state=State.DEAD_LETTERED, reason=Reason.MAX_ATTEMPTS, counter=counter)
    assert engine.settle([end]) == {claim.ref: State.CANCELLED}

    run = row(claim.id)
    assert (run.state, run.reason, counts(run)) == (State.CANCELLED, Reason.CANCELLED, {counter: 1})
    assert run.attempts.get().outcome == Outcome.CANCELLED


@pytest.mark.parametrize(
    ("outcome", "state", "reason", "counter"),
    [end for end in ENDS if end[1] != State.DEAD_LETTERED],
    ids=lambda word: word or "uncounted",
)
def test_a_run_asked_to_cancel_may_still_end_otherwise(
    engine: Engine,
    make_run: MakeRun,
    take: Take,
    request_cancel: RequestCancel,
    row: Row,
    outcome: Outcome,
    state: State,
    reason: Reason,
    counter: Counter | None,
) -> None:
    make_run()
    claim = take()
    request_cancel(claim)

    end = Settlement(claim.ref, outcome=outcome, state=state, reason=reason, counter=counter)
    assert engine.settle([end]) == {claim.ref: state}

    run = row(claim.id)
    assert (run.state, run.reason) == (state, reason)
    assert run.attempts.get().outcome == outcome


def test_settling_nothing_answers_nothing(engine: Engine, make_run: MakeRun, take: Take) -> None:
    make_run()
    take()

    assert engine.settle([]) == {}
    assert Run.objects.in_state(State.RUNNING).count() == 1


def test_a_settle_that_is_rolled_back_never_was(engine: Engine, make_run: MakeRun, take: Take, table: Table) -> None:
    make_run()
    claim = take()
    before = table()

    with transaction.atomic():
        assert engine.settle([completed(claim.ref)]) == {claim.ref: State.COMPLETED}
        transaction.set_rollback(True)

    assert table() == before
    assert not Attempt.objects.exists()
    assert engine.settle([completed(claim.ref)]) == {claim.ref: State.COMPLETED}


@pytest.mark.django_db(transaction=True)
def test_a_settle_whose_history_cannot_be_written_changes_nothing(
    engine: Engine, make_run: MakeRun, take: Take, table: Table
) -> None:
    make_run()
    claim = take()
    now = timezone.now()
    Attempt.objects.create(run_id=claim.id, number=1, worker="worker-b", started_at=now, finished_at=now)
    before = table()

    with pytest.raises(IntegrityError):
        engine.settle([completed(claim.ref)])

    assert table() == before


# What the job has noted.


def test_what_a_job_has_noted_is_written_with_its_end(engine: Engine, make_run: MakeRun, take: Take, row: Row) -> None:
    make_run()
    claim = take()

    engine.settle([completed(claim.ref, progress='{"done": 3}', metadata='{"naïve": "%s"}')])

    assert (row(claim.id).progress, row(claim.id).metadata) == ({"done": 3}, {"naïve": "%s"})


@pytest.mark.parametrize("end", [completed, failed, retried])
def test_a_job_that_has_noted_nothing_leaves_what_is_there(
    engine: Engine, make_run: MakeRun, take: Take, row: Row, end: Callable[[Ref], Settlement]
) -> None:
    make_run(metadata_text='{"page": 7}')
    claim = take()
    engine.note([Note(*claim.ref, progress="[1, 2]")])

    engine.settle([end(claim.ref)])

    assert (row(claim.id).progress, row(claim.id).metadata) == ([1, 2], {"page": 7})


# A run that is to be deleted.


def test_a_run_that_is_to_be_deleted_goes_with_all_its_attempts_and_no_others(
    engine: Engine, make_run: MakeRun, take: Take
) -> None:
    make_run()
    claim = take()
    engine.settle([retried(claim.ref)])
    make_run()
    again, other = take(), take()
    assert (again.id, again.attempt) == (other.id - 1, 2)
    engine.settle([retried(other.ref)])

    assert engine.settle([completed(again.ref, delete=True)]) == {again.ref: State.COMPLETED}

    assert list(Run.objects.values_list("pk", flat=True)) == [other.id]
    assert list(Attempt.objects.values_list("run_id", flat=True)) == [other.id]


def test_deletions_are_settled_beside_other_ends(engine: Engine, make_run: MakeRun) -> None:
    for _ in range(6):
        make_run()
    claims = engine.claim("default", "mail", worker="worker-a", limit=6, lease_seconds=30)
    first, second, third = claims[::2]
    ends = [completed(claim.ref, delete=claim.id % 2 == first.id % 2) for claim in claims]

    assert engine.settle(ends) == {end.ref: State.COMPLETED for end in ends}

    kept = {claim.id for claim in claims} - {first.id, second.id, third.id}
    assert set(Run.objects.values_list("pk", "state")) == {(run_id, "completed") for run_id in kept}
    assert set(Attempt.objects.values_list("run_id", flat=True)) == kept


def test_a_run_that_is_asked_to_cancel_may_still_be_deleted(
    engine: Engine, make_run: MakeRun, take: Take, request_cancel: RequestCancel
) -> None:
    make_run()
    claim = take()
    request_cancel(claim)

    assert engine.settle([completed(claim.ref, delete=True)]) == {claim.ref: State.COMPLETED}
    assert not Run.objects.exists()


def test_only_what_is_ours_is_deleted(engine: Engine, make_run: MakeRun, take: Take, table: Table) -> None:
    for _ in range(3):
        make_run()
    settled, stale, running = engine.claim("default", "mail", worker="worker-a", limit=3, lease_seconds=30)
    engine.settle([retried(settled.ref, delay_seconds=3600)])
    engine.settle([retried(stale.ref)])
    take("worker-b")
    before, attempts = table(), list(Attempt.objects.values())

    refs = [settled.ref, stale.ref, Ref(running.id, 2), Ref(running.id, 0), Ref(running.id + 1_000_000, 1)]
    assert engine.settle([completed(ref, delete=True) for ref in refs]) == {}

    assert table() == before
    assert list(Attempt.objects.values()) == attempts


def test_a_deletion_that_is_rolled_back_never_was(engine: Engine, make_run: MakeRun, take: Take, table: Table) -> None:
    make_run()
    claim = take()
    before = table()

    with transaction.atomic():
        engine.settle([completed(claim.ref, delete=True)])
        transaction.set_rollback(True)

    assert table() == before
    assert engine.settle([completed(claim.ref)]) == {claim.ref: State.COMPLETED}


@pytest.mark.parametrize(("deletions", "statements"), [(0, 0), (1, 1), (5, 1)])
def test_deletions_cost_one_statement_and_only_where_there_are_some(
    engine: Engine, make_run: MakeRun, deletions: int, statements: int
) -> None:
    for _ in range(6):
        make_run()
    claims = engine.claim("default", "mail", worker="worker-a", limit=6, lease_seconds=30)
    ends = [completed(claim.ref, delete=number < deletions) for number, claim in enumerate(claims)]

    with CaptureQueriesContext(connection) as asked:
        engine.settle(ends)

    deleting = [query for query in asked if re.search(r"DELETE\b.+\bjobqueue_run\b", query["sql"], re.DOTALL)]
    assert len(deleting) == statements
