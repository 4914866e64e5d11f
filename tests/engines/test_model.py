"""The engine and the model of it play the same random sequences, and must agree after every step."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import LostRun, NewRun, Note, Ref, Settlement
from django_jobqueue.models import Attempt, Run
from django_jobqueue.states import FINAL_STATES, Outcome, Reason, State
from tests.engines.endings import reap
from tests.engines.model import Model

QUEUES = ["mail", "digest"]
HOUR = 3600.0

new_runs = st.builds(
    lambda **fields: NewRun(**fields),  # of a class, what is not given would be made up
    queue=st.sampled_from(QUEUES),
    job=st.just("send"),
    priority=st.sampled_from([0, 0, 5, -5]),
    delay_seconds=st.sampled_from([0.0, 0.0, -HOUR, -2 * HOUR, 3 * HOUR]),
)
noted = st.sampled_from([None, "1", "2"])
ends = st.sampled_from(
    [
        {
            "outcome": Outcome.COMPLETED,
            "state": State.COMPLETED,
            "reason": Reason.RETURNED,
            "result": "0",
            "progress": "9",
        },
        {"outcome": Outcome.FAILED, "state": State.FAILED, "reason": Reason.JOB_FAILED, "counter": "failures"},
        {"outcome": Outcome.CANCELLED, "state": State.CANCELLED, "reason": Reason.CANCELLED},
        {"outcome": Outcome.RETRIED, "state": State.PENDING, "counter": "failures", "error": "not yet"},
        {"outcome": Outcome.TIMED_OUT, "state": State.PENDING, "counter": "failures", "delay_seconds": 2 * HOUR},
        {"outcome": Outcome.SNOOZED, "state": State.PENDING, "counter": "snoozes", "metadata": "7"},
        {"outcome": Outcome.COMPLETED, "state": State.COMPLETED, "reason": Reason.RETURNED, "delete": True},
        {
            "outcome": Outcome.DEAD_LETTERED,
            "state": State.DEAD_LETTERED,
            "reason": Reason.MAX_ATTEMPTS,
            "counter": "failures",
            "error": "never",
        },
    ]
)


def decide(lost: LostRun) -> Settlement:
    """Two crashes are too many."""
    if lost.crashes:
        end: dict[str, Any] = {"state": State.DEAD_LETTERED, "reason": Reason.MAX_CRASHES}
    else:
        end = {"state": State.PENDING}
    return Settlement(lost.ref, outcome=Outcome.CRASHED, counter="crashes", error=f"{lost.worker} lost", **end)


def any_claim(machine: Any) -> bool:
    """A list of references needs one to draw."""
    return any(run.attempt for run in machine.model.runs.values())


class EngineAgainstModel(RuleBasedStateMachine):
    """Each example works in a savepoint of its own."""

    runs = Bundle("runs")
    taken = Bundle("taken")
    refs = taken | taken.map(lambda ref: Ref(ref.id, ref.attempt + 1))

    def __init__(self) -> None:
        super().__init__()
        self.engine = engine_for("default")
        self.model = Model()
        self.start = timezone.now()
        self.attempts: dict[int, int] = {}
        self.ended: dict[int, dict[str, Any]] = {}
        self.savepoint = transaction.atomic()
        self.savepoint.__enter__()

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.savepoint.__exit__(None, None, None)

    @rule(target=runs, new=st.lists(new_runs, min_size=1, max_size=6))
    def insert(self, new: list[NewRun]) -> Any:
        ids = [inserted.id for inserted in self.engine.insert("default", new)]
        self.model.insert(new, ids)
        return multiple(*ids)

    @rule(
        target=taken,
        queue=st.sampled_from(QUEUES),
        worker=st.sampled_from(["worker-a", "worker-b"]),
        limit=st.integers(1, 4),
    )
    def claim(self, queue: str, worker: str, limit: int) -> Any:
        how: dict[str, Any] = {"worker": worker, "limit": limit, "lease_seconds": HOUR}

        claims = self.engine.claim("default", queue, **how)

        fields = ("id", "attempt", "queue", "priority", "failures", "crashes", "releases")
        expected = self.model.claim(queue, **how)
        assert [[getattr(claim, name) for name in fields] for claim in claims] == [
            [getattr(run, name) for name in fields] for run in expected
        ]
        return multiple(*(claim.ref for claim in claims))

    @precondition(any_claim)
    @rule(pairs=st.lists(st.tuples(refs, ends), min_size=1, max_size=4))
    def settle(self, pairs: list[tuple[Ref, dict[str, Any]]]) -> None:
        settlements = [Settlement(ref, **end) for ref, end in dict(pairs).items()]
        assert self.engine.settle(settlements) == self.model.settle(settlements)

    @precondition(any_claim)
    @rule(
        batch=st.lists(refs, min_size=1, max_size=4),
        delay_seconds=st.sampled_from([None, 0.0, HOUR]),
        unknown=st.booleans(),
    )
    def release(self, batch: list[Ref], delay_seconds: float | None, *, unknown: bool) -> None:
        batch = list(dict.fromkeys(batch))
        answer = self.engine.release(batch, delay_seconds=delay_seconds, unknown=unknown)
        assert answer == self.model.release(batch, delay_seconds=delay_seconds, unknown=unknown)

    @precondition(any_claim)
    @rule(batch=st.lists(refs, min_size=1, max_size=4))
    def renew(self, batch: list[Ref]) -> None:
        leases = [(ref, HOUR) for ref in dict.fromkeys(batch)]
        assert self.engine.renew(leases) == self.model.renew(leases)

    @precondition(any_claim)
    @rule(batch=st.lists(st.tuples(refs, noted, noted), min_size=1, max_size=4))
    def note(self, batch: list[tuple[Ref, str | None, str | None]]) -> None:
        notes = [Note(*ref, *said) for ref, said in {ref: said for ref, *said in batch}.items()]
        assert self.engine.note(notes) == self.model.note(notes)

    @rule(limit=st.integers(1, 3))
    def reap(self, limit: int) -> None:
        reaped = reap(self.engine, "default", decide, limit=limit)
        assert {lost.ref: state for lost, state in reaped} == dict(self.model.reap(decide, limit=limit))

    @rule(queues=st.lists(st.sampled_from(QUEUES), unique=True))
    def next_due(self, queues: list[str]) -> None:
        seconds, expected = self.engine.next_due("default", queues), self.model.next_due(queues)
        assert (seconds is None) == (expected is None)
        assert seconds is None or expected is None or (seconds <= 0) == (expected <= 0)

    # What others do to the table, with the ORM.

    @rule(ref=taken)
    def end_the_lease(self, ref: Ref) -> None:
        if run := self.model.held(ref):
            run.lease_until = min(self.model.now, *(each.lease_until or 0 for each in self.model.runs.values())) - 1
            lease_until = self.start + timedelta(seconds=run.lease_until - HOUR)
            Run.objects.filter(pk=ref.id).update(lease_until=lease_until)

    @rule(run_id=runs)
    def request_cancel(self, run_id: int) -> None:
        if self.model.state(run_id) == State.RUNNING:
            self.model.runs[run_id].cancel_requested = True
            Run.objects.filter(pk=run_id).update(cancel_requested_at=timezone.now())

    @rule(run_id=runs, parked=st.booleans())
    def park(self, run_id: int, *, parked: bool) -> None:
        if self.model.state(run_id) == State.PENDING:
            self.model.runs[run_id].parked = parked
            Run.objects.filter(pk=run_id).update(blocked_on="key:1" if parked else None)

    @rule(run_id=runs, expired=st.booleans())
    def let_expire(self, run_id: int, *, expired: bool) -> None:
        if self.model.state(run_id) == State.PENDING:
            self.model.runs[run_id].expired = expired
            expires_at = timezone.now() + timedelta(hours=-1 if expired else 1)
            Run.objects.filter(pk=run_id).update(expires_at=expires_at)

    # After every step: the tables are as the model says, and nothing impossible happened.

    @invariant()
    def the_tables_are_the_same(self) -> None:
        history: dict[int, list[tuple[int, str, str]]] = {run_id: [] for run_id in self.model.runs}
        for attempt in Attempt.objects.order_by("number"):  # of runs that are there
            history[attempt.run_id].append((attempt.number, attempt.worker, attempt.outcome))
        rows: list[dict[str, Any]] = [dict(row) for row in Run.objects.values()]
        assert {row["id"] for row in rows} == set(self.model.runs)
        for row in rows:
            self.is_as_the_model_says(row)
            assert history[row["id"]] == self.model.runs[row["id"]].attempts
            self.is_possible(row, attempts=len(history[row["id"]]))

    def is_as_the_model_says(self, row: dict[str, Any]) -> None:
        expected = self.model.runs[row["id"]]
        for name in ("state", "reason", "attempt", "failures", "crashes", "snoozes", "releases", "worker", "error"):
            assert row[name] == getattr(expected, name)
        for name in ("result", "progress", "metadata"):
            text = getattr(expected, name)
            assert row[name] == (None if text is None else int(text))
        assert self.hours(row["run_at"]) == round(expected.run_at / HOUR)
        assert (row["lease_until"] is None) == (expected.lease_until is None)
        assert (row["unknown_since"] is not None) == expected.unknown

    def is_possible(self, row: dict[str, Any], attempts: int) -> None:
        final = row["state"] in FINAL_STATES
        running = row["state"] == State.RUNNING

        if row["id"] in self.ended:
            assert row == self.ended[row["id"]]
        elif final:
            self.ended[row["id"]] = row
        assert row["attempt"] >= self.attempts.get(row["id"], 0)
        self.attempts[row["id"]] = row["attempt"]

        assert running == (row["lease_until"] is not None)
        assert final == (row["finished_at"] is not None) == (row["reason"] is not None)
        assert not (row["state"] == State.PENDING and row["cancel_requested_at"])

        counted = row["failures"] + row["crashes"] + row["snoozes"] + row["releases"]
        uncounted = {State.RUNNING: {1}, State.COMPLETED: {1}, State.CANCELLED: {0, 1}}
        assert row["attempt"] - counted in uncounted.get(State(row["state"]), {0})
        assert row["attempt"] == running + row["releases"] + attempts

    def hours(self, moment: datetime) -> int:
        return round((moment - self.start).total_seconds() / HOUR)


@pytest.mark.django_db
@pytest.mark.slow
def test_the_engine_does_what_the_model_does() -> None:
    run_state_machine_as_test(
        EngineAgainstModel,
        settings=settings(max_examples=40, stateful_step_count=40),
    )
