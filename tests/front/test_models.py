"""The tables refuse what must never be, and runs answer to the words of the glossary."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import pytest
from django.db import IntegrityError, models, transaction
from django.utils import timezone

from django_jobqueue import queues
from django_jobqueue.models import (
    Activity,
    Attempt,
    IdempotencyKey,
    LimitBucket,
    QueueState,
    Run,
    Schedule,
    Stat,
    Worker,
)
from django_jobqueue.queue import Queue
from django_jobqueue.states import FINAL_STATES, State

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MakeRun: TypeAlias = Callable[..., Run]

RUNNING = {"state": "running", "lease_until": NOW}
ENDED = {"finished_at": NOW, "reason": "returned"}


@pytest.fixture
def make_run() -> MakeRun:
    """Write a run as it is said, without asking whether it may be so."""
    return lambda **columns: Run.objects.create(
        **({"queue": "mail", "job": "send", "run_at": NOW, "created_at": NOW} | columns)
    )


# --- What the tables refuse ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "columns", [{"state": "pending"}, RUNNING, *({"state": state.value, **ENDED} for state in sorted(FINAL_STATES))]
)
def test_every_state_can_be_stored_as_it_should_be(make_run: MakeRun, columns: dict[str, Any]) -> None:
    assert make_run(**columns).state == columns["state"]


@pytest.mark.parametrize(
    ("columns", "constraint"),
    [
        ({"state": "pending", "lease_until": NOW}, "leased_while_running"),
        ({"state": "running"}, "leased_while_running"),
        ({"state": "completed", "lease_until": NOW, **ENDED}, "leased_while_running"),
        *(
            ({"state": state.value} | ENDED | {missing: None}, "finished_when_final")
            for state in sorted(FINAL_STATES)
            for missing in ENDED
        ),
        ({"state": "pending", "reason": "returned"}, "finished_when_final"),
        ({"state": "pending", "finished_at": NOW}, "finished_when_final"),
        ({**RUNNING, "reason": "returned"}, "finished_when_final"),
        ({**RUNNING, "finished_at": NOW}, "finished_when_final"),
        ({"state": "scheduled"}, "finished_when_final"),
    ],
)
def test_a_state_that_contradicts_the_rest_of_the_row_is_refused(
    make_run: MakeRun, columns: dict[str, Any], constraint: str
) -> None:
    with pytest.raises(IntegrityError, match=f"jobqueue_run_{constraint}"), transaction.atomic():
        make_run(**columns)


def refused(write: Callable[[], object]) -> bool:
    """Whether a unique index refuses what *write* writes."""
    try:
        with transaction.atomic():
            write()
    except IntegrityError as error:
        return re.search("unique|duplicate entry", str(error), re.IGNORECASE) is not None
    return False


def test_a_unique_lock_is_held_by_one_run_of_a_namespace(make_run: MakeRun) -> None:
    holder = make_run(unique_lock="lock")

    assert refused(lambda: make_run(unique_lock="lock"))
    assert not refused(lambda: make_run(unique_lock="Lock"))
    assert not refused(lambda: make_run(unique_lock="lock", namespace="blue"))

    Run.objects.filter(pk=holder.pk).update(unique_lock=None)
    assert not refused(lambda: make_run(unique_lock="lock"))


def test_any_number_of_runs_hold_no_lock(make_run: MakeRun) -> None:
    assert not any(refused(make_run) for _ in range(3))


def test_a_schedule_makes_one_run_for_one_time(make_run: MakeRun) -> None:
    nightly, hourly = (Schedule.objects.create(name=name, queue="mail", job="send") for name in ("nightly", "hourly"))
    make_run(schedule=nightly, fires_at=NOW)

    assert refused(lambda: make_run(schedule=nightly, fires_at=NOW, state="completed", **ENDED))
    assert not refused(lambda: make_run(schedule=nightly, fires_at=NOW + timedelta(seconds=1)))
    assert not refused(lambda: make_run(schedule=hourly, fires_at=NOW))


def test_any_number_of_runs_belong_to_no_schedule(make_run: MakeRun) -> None:
    assert not any(refused(lambda: make_run(fires_at=NOW)) for _ in range(3))


def test_an_attempt_is_written_once(make_run: MakeRun) -> None:
    run, another = make_run(), make_run()

    def write(of: Run, number: int) -> Attempt:
        return Attempt.objects.create(
            run=of, number=number, worker="w", started_at=NOW, finished_at=NOW, outcome="completed"
        )

    write(run, 1)
    assert refused(lambda: write(run, 1))
    assert not refused(lambda: write(run, 2))
    assert not refused(lambda: write(another, 1))
    assert [attempt.number for attempt in run.attempts.all()] == [1, 2]


@pytest.mark.parametrize(
    ("model", "columns"),
    [
        (Schedule, {"name": "nightly", "queue": "mail", "job": "send"}),
        (QueueState, {"queue": "mail", "job": "send"}),
        (QueueState, {"queue": "mail"}),
        (LimitBucket, {"queue": "mail", "key": "rate:", "tokens": 1, "updated_at": NOW, "full_at": NOW}),
        (IdempotencyKey, {"key_hash": "h", "arguments_hash": "h", "run_id": 1, "expires_at": NOW}),
    ],
)
def test_a_name_is_taken_once_in_a_namespace(model: type[models.Model], columns: dict[str, Any]) -> None:
    model._default_manager.create(**columns)

    assert refused(lambda: model._default_manager.create(**columns))
    assert not refused(lambda: model._default_manager.create(**columns, namespace="blue"))


def test_deleting_a_run_deletes_its_attempts_and_leaves_its_replays(make_run: MakeRun) -> None:
    run = make_run()
    replay = make_run(replay_of=run)
    Attempt.objects.create(run=run, number=1, worker="w", started_at=NOW, finished_at=NOW, outcome="completed")

    run.delete()

    assert not Attempt.objects.exists()
    assert Run.objects.get().pk == replay.pk


# --- The words -------------------------------------------------------------------------------------------------------

PAST, FUTURE = timezone.now() - timedelta(days=1), timezone.now() + timedelta(days=1)
ZOO: dict[str, dict[str, Any]] = {
    "due": {"run_at": PAST},
    "due again": {"run_at": PAST, "failures": 1},
    "later": {"run_at": FUTURE},
    "again later": {"run_at": FUTURE, "failures": 2},
    "snoozed": {"run_at": FUTURE, "snoozes": 1, "crashes": 1, "releases": 1},
    "running": {"run_at": PAST, **RUNNING},
    "running again": {"run_at": PAST, "failures": 1, **RUNNING},
    "called off": {"run_at": FUTURE, "failures": 1, "state": "cancelled", **ENDED},
    **{state.value: {"run_at": PAST, "failures": 1, "state": state.value, **ENDED} for state in FINAL_STATES},
}
FINAL = {"called off", *(state.value for state in FINAL_STATES)}


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("scheduled", {"later", "again later", "snoozed"}),
        ("due", {"due", "due again"}),
        ("retrying", {"due again", "again later"}),
        ("live", set(ZOO) - FINAL),
        ("ended", FINAL),
    ],
)
def test_runs_can_be_asked_for_by_the_words_of_the_glossary(make_run: MakeRun, word: str, names: set[str]) -> None:
    for name, columns in ZOO.items():
        make_run(job=name, **columns)

    found = getattr(Run.objects.all(), word)()

    assert {run.job for run in found} == names


@pytest.mark.parametrize("state", State)
def test_runs_can_be_asked_for_by_their_state(make_run: MakeRun, mail: Queue, state: State) -> None:
    for name, columns in ZOO.items():
        make_run(job=name, **columns)
    expected = {name for name, columns in ZOO.items() if columns.get("state", "pending") == state}

    for found in (
        Run.objects.in_state(state),
        Run.objects.in_state(state.value),
        mail.runs(state),
        mail.runs(str(state)),
    ):
        assert {run.job for run in found} == expected


def test_a_state_that_there_is_not_is_refused(mail: Queue) -> None:
    with pytest.raises(ValueError, match="state: 'scheduled' is not a state"):
        Run.objects.in_state("scheduled")
    with pytest.raises(ValueError, match="state: '' is not a state"):
        mail.runs("")


def test_the_runs_of_a_queue_are_its_own(make_run: MakeRun, mail: Queue) -> None:
    ours = make_run()
    make_run(queue="default")
    make_run(namespace="blue")

    assert [*mail.runs()] == [ours]
    assert queues.default.runs().count() == 1


def test_words_go_together(make_run: MakeRun, mail: Queue) -> None:
    for name, columns in ZOO.items():
        make_run(job=name, **columns)

    assert [run.job for run in mail.runs().retrying().due()] == ["due again"]


# --- How they show themselves ----------------------------------------------------------------------------------------


def test_a_run_shows_what_and_how_it_is() -> None:
    pending = Run(pk=7, queue="mail", job="send")
    failed = Run(pk=8, queue="mail", job="send", state="dead_lettered", reason="max_attempts", attempt=3)

    assert str(pending) == "mail.send #7"
    assert repr(pending) == "<Run 7: mail.send pending, attempt 0>"
    assert repr(failed) == "<Run 8: mail.send dead_lettered (max_attempts), attempt 3>"


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (Attempt(run_id=7, number=2, outcome="crashed"), "attempt 2 of run 7: crashed"),
        (Schedule(name="nightly"), "nightly"),
        (QueueState(queue="mail"), "mail"),
        (QueueState(queue="mail", job="send"), "mail.send"),
        (Worker(name="host:1:abc"), "host:1:abc"),
        (LimitBucket(queue="mail", key="rate:send"), "mail rate:send"),
        (IdempotencyKey(run_id=7), "key of run 7"),
        (Activity(operation="jobs.cancel", actor="ada"), "jobs.cancel by ada"),
        (Stat(count=5, queue="mail", job="send", outcome="completed"), "5 x mail.send completed"),
    ],
)
def test_every_row_shows_what_it_is(row: models.Model, text: str) -> None:
    assert str(row) == text
    assert repr(row) == f"<{type(row).__name__}: {text}>"


def test_the_admin_calls_activities_by_their_name() -> None:
    assert Activity._meta.verbose_name_plural == "activities"
