from __future__ import annotations

import random
from datetime import timedelta
from itertools import chain
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from django_jobqueue.engines.base import Engine, NewRun
from django_jobqueue.models import QueueState, Run
from django_jobqueue.states import Delivery, State
from tests.engines.conftest import MakeRun, Row, Take

pytestmark = pytest.mark.django_db


def claimed(engine: Engine, *, limit: int = 10, ruled: bool = False) -> list[int]:
    """Claim for a worker, and return the ids."""
    claims = engine.claim("default", "mail", worker="worker-a", limit=limit, lease_seconds=30, ruled=ruled)
    return [claim.id for claim in claims]


def test_a_claim_carries_all_that_an_attempt_needs(make_run: MakeRun, take: Take, row: Row) -> None:
    run_id = make_run(
        job="send",
        version=2,
        payload_text='{"to": "me"}',
        priority=5,
        max_attempts=4,
        timeout_seconds=2.5,
        delivery=Delivery.AT_MOST_ONCE,
        metadata_text='{"from": "you"}',
    )
    Run.objects.filter(pk=run_id).update(attempt=9, failures=2, crashes=3, releases=4)

    claim = take()

    assert claim.ref == (run_id, 10)
    assert (claim.queue, claim.job, claim.version, claim.payload) == ("mail", "send", 2, '{"to": "me"}')
    assert (claim.priority, claim.run_at) == (5, row(run_id).run_at)
    assert (claim.failures, claim.crashes, claim.releases) == (2, 3, 4)
    assert (claim.max_attempts, claim.delivery, claim.metadata) == (4, "at_most_once", '{"from": "you"}')
    assert claim.timeout_seconds == 2.5


def test_a_claimed_run_is_leased_to_its_worker(make_run: MakeRun, take: Take, row: Row) -> None:
    run_id = make_run()
    before = timezone.now()

    take("worker-b", lease_seconds=45.5)

    run = row(run_id)
    assert (run.state, run.attempt, run.worker) == (State.RUNNING, 1, "worker-b")
    assert run.started_at is not None
    assert run.lease_until == run.started_at + timedelta(seconds=45.5)
    assert before - timedelta(seconds=5) < run.started_at < timezone.now() + timedelta(seconds=5)


def test_no_run_is_claimed_twice(engine: Engine, make_run: MakeRun) -> None:
    ids = {make_run() for _ in range(5)}

    assert {*claimed(engine, limit=3), *claimed(engine, limit=3)} == ids
    assert claimed(engine) == []


@pytest.mark.parametrize("limit", [1, 2, 7, 40, 200])
def test_the_highest_priority_goes_first_then_the_longest_due(engine: Engine, limit: int) -> None:
    now = timezone.now()
    runs = [
        NewRun(queue="mail", job="send", priority=priority, run_at=now - timedelta(minutes=minutes))
        for priority in (-32768, -7, 0, 1, 2, 3, 99, 32767)
        for minutes in (0, 1, 1, 2, 3, 3)
    ]
    random.shuffle(runs)
    rows = [(-run.priority, new.run_at, new.id) for run, new in zip(runs, engine.insert("default", runs), strict=True)]

    order = []
    while batch := claimed(engine, limit=limit):
        order.append(batch)

    assert list(chain(*order)) == [run_id for _priority, _run_at, run_id in sorted(rows)]
    assert [len(batch) for batch in order[:-1]] == [limit] * (len(order) - 1)


def test_a_priority_without_due_runs_does_not_hide_the_next(engine: Engine, make_run: MakeRun) -> None:
    for priority in (9, 7, 5):
        make_run(priority=priority, delay_seconds=3600)
    due = [make_run(priority=priority) for priority in (8, 7, 1)]

    assert claimed(engine) == due


def test_runs_of_the_future_are_not_claimed(engine: Engine, make_run: MakeRun) -> None:
    make_run(delay_seconds=3600)
    due = make_run()

    assert claimed(engine) == [due]


def test_parked_runs_are_not_claimed(engine: Engine, make_run: MakeRun) -> None:
    make_run(blocked_on="key:1")
    make_run(priority=5, blocked_on="key:1")
    free = make_run()
    make_run(blocked_on="key:1")

    assert claimed(engine) == [free]


def test_runs_that_were_not_started_in_time_are_not_claimed(engine: Engine, make_run: MakeRun) -> None:
    now = timezone.now()
    make_run(expires_at=now - timedelta(minutes=1))
    in_time = make_run(expires_at=now + timedelta(minutes=1))
    make_run(expires_at=now - timedelta(minutes=1))

    assert claimed(engine) == [in_time]


def test_other_queues_and_namespaces_are_not_touched(engine: Engine, make_run: MakeRun) -> None:
    places = [("default", "mai"), ("default", "Mail"), ("default", "mail2"), ("default", "digest"), ("other", "mail")]
    others = [make_run(namespace, queue=queue, priority=priority) for namespace, queue in places for priority in (0, 9)]
    ours = make_run()
    others += [make_run(namespace, queue=queue) for namespace, queue in places]

    assert claimed(engine) == [ours]
    assert set(Run.objects.filter(pk__in=others).values_list("state", "attempt")) == {(State.PENDING, 0)}


@pytest.mark.parametrize("state", [state for state in State if state is not State.PENDING])
def test_only_pending_runs_are_claimed(engine: Engine, make_run: MakeRun, state: State) -> None:
    first, run_id = make_run(), make_run()
    end = {"lease_until": timezone.now()} if state == State.RUNNING else {"finished_at": timezone.now(), "reason": "x"}
    Run.objects.filter(pk=run_id).update(state=state, **end)
    last = make_run()

    assert claimed(engine) == [first, last]


def test_what_was_chosen_is_taken_where_it_is_still_pending(
    engine: Engine, make_run: MakeRun, take: Take, row: Row
) -> None:
    make_run()
    theirs, ours = take("worker-b"), make_run()

    [claim] = engine.take([theirs.id, ours], worker="worker-a", lease_seconds=30)

    assert claim.id == ours
    assert row(theirs.id).worker == "worker-b"


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_of_nothing_claims_nothing(engine: Engine, make_run: MakeRun, limit: int) -> None:
    make_run()

    assert claimed(engine, limit=limit) == []


def test_a_claim_that_is_rolled_back_never_was(engine: Engine, make_run: MakeRun, row: Row) -> None:
    run_id = make_run()

    with transaction.atomic():
        assert claimed(engine) == [run_id]
        transaction.set_rollback(True)

    run = row(run_id)
    assert (run.state, run.attempt, run.worker, run.lease_until) == (State.PENDING, 0, None, None)


LATER, EARLIER = timezone.now() + timedelta(days=1), timezone.now() - timedelta(days=1)
SET = [
    {"paused_at": EARLIER},
    {"concurrent_jobs": 5},
    {"concurrent_jobs_per_key": 5},
    {"rate_limit": "5/s"},
]


def ending(fields: dict[str, Any], until: Any) -> dict[str, Any]:
    """What operators set, with its end."""
    [name] = fields
    return fields | {"paused_until" if name == "paused_at" else f"{name}_until": until}


@pytest.mark.parametrize("fields", SET, ids=" and ".join)
@pytest.mark.parametrize("until", [None, LATER], ids=["for ever", "until later"])
@pytest.mark.parametrize("job", ["", "send", "another"])
def test_what_an_operator_holds_or_limits_yields_nothing_before_someone_has_ruled_on_it(
    engine: Engine, make_run: MakeRun, fields: dict[str, Any], until: Any, job: str
) -> None:
    first, second = make_run(priority=5), make_run()
    QueueState.objects.create(queue="mail", job=job, **ending(fields, until))

    assert claimed(engine) == []
    assert claimed(engine, ruled=True) == [first, second]


@pytest.mark.parametrize("fields", SET, ids=" and ".join)
def test_what_is_over_holds_nothing(engine: Engine, make_run: MakeRun, fields: dict[str, Any]) -> None:
    run_id = make_run()
    QueueState.objects.create(queue="mail", **ending(fields, EARLIER))

    assert claimed(engine) == [run_id]


def test_a_row_that_sets_nothing_holds_nothing(engine: Engine, make_run: MakeRun) -> None:
    run_id = make_run()
    QueueState.objects.create(queue="mail", paused_until=LATER, concurrent_jobs_until=LATER)

    assert claimed(engine) == [run_id]


def test_what_is_set_for_another_queue_or_namespace_holds_nothing(engine: Engine, make_run: MakeRun) -> None:
    run_id = make_run()
    QueueState.objects.create(queue="digest", paused_at=EARLIER)
    QueueState.objects.create(queue="mail", namespace="other", paused_at=EARLIER)

    assert claimed(engine) == [run_id]
