"""Operations on one run: what they do, what they answer, what they record, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db import connection, transaction
from django.utils import timezone

from django_jobqueue import job, operations
from django_jobqueue.errors import (
    InvalidArgument,
    InvalidRun,
    PayloadError,
    RunNotEnded,
    RunNotFound,
    RunNotPending,
    UnknownJob,
)
from django_jobqueue.models import Activity, Run
from django_jobqueue.states import State
from tests.operations.conftest import AtOnce, MakeRun

pytestmark = pytest.mark.django_db


def everything() -> list[Any]:
    return [list(Run.objects.order_by("pk").values()), list(Activity.objects.order_by("pk").values())]


# --- Ids --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "run_id",
    [
        0,
        -1,
        2**63,
        10**5000,
        "",
        "x",
        "-1",
        "1.0",
        "1e3",
        " 1",
        "\u0661",
        "9" * 30,
        "1;drop",
        None,
        1.0,
        True,
        b"1",
        [1],
    ],
    ids=lambda run_id: f"{type(run_id).__name__} {str(run_id)[:10] if run_id != 10**5000 else 'huge'}",
)
@pytest.mark.parametrize(
    "call",
    [
        operations.get,
        operations.explain,
        lambda run_id: operations.cancel(run_id, actor="ana"),
        lambda run_id: operations.replay(run_id, actor="ana"),
        lambda run_id: operations.reschedule(run_id, actor="ana", delay_seconds=1),
    ],
    ids=["get", "explain", "cancel", "replay", "reschedule"],
)
def test_what_is_no_id_of_a_run_is_not_found(call: Callable[[Any], Any], run_id: Any, make_run: MakeRun) -> None:
    make_run()
    before = everything()

    with pytest.raises(RunNotFound, match="There is no run ") as caught:
        call(run_id)

    assert caught.value.code == "run_not_found"
    assert everything() == before


def test_a_run_of_another_namespace_is_not_found(make_run: MakeRun) -> None:
    run = make_run("completed", namespace="elsewhere")

    for call in (operations.cancel, operations.replay):
        with pytest.raises(RunNotFound):
            call(run.pk, actor="ana")


def test_a_run_is_found_by_its_id_as_text(make_run: MakeRun) -> None:
    run = make_run()

    assert operations.get(str(run.pk)) == run
    assert operations.get(f"000{run.pk}") == run


# --- Who and why ------------------------------------------------------------------------------------------------------


def test_who_did_it_and_why_is_recorded(make_run: MakeRun) -> None:
    run = make_run()
    ana = User.objects.create_user("ana")

    operations.cancel(run.pk, actor=ana, reason="wrong address\nsaid the customer")

    activity = Activity.objects.get()
    assert (activity.operation, activity.actor, activity.queue) == ("jobs.cancel", "ana", "mail")
    assert (activity.run_id, activity.reason) == (run.pk, "wrong address\nsaid the customer")


@pytest.mark.parametrize("actor", [None, "", 5, "x" * 256, "a\nb", "nul\0", "\ud800", AnonymousUser(), object()])
def test_somebody_must_have_done_it(actor: Any, make_run: MakeRun) -> None:
    run = make_run()
    before = everything()

    for call in (operations.cancel, operations.replay):
        with pytest.raises(InvalidArgument, match=r"^actor: must be a user, or text of 1 to 255 printable characters"):
            call(run.pk, actor=actor)
    with pytest.raises(InvalidArgument, match=r"^actor: "):
        operations.pause_queue("mail", actor=actor)

    assert everything() == before


@pytest.mark.parametrize("reason", [None, 5, "x" * 10_001, "nul\0", "\ud800"])
def test_a_reason_must_be_fit_to_be_kept(reason: Any, make_run: MakeRun) -> None:
    run = make_run()
    before = everything()

    with pytest.raises(InvalidArgument, match=r"^reason: must be text of at most 10000 characters, got "):
        operations.cancel(run.pk, actor="ana", reason=reason)

    assert everything() == before


def test_the_record_is_rolled_back_with_what_was_done(make_run: MakeRun) -> None:
    run = make_run()
    before = everything()

    with transaction.atomic():
        operations.cancel(run.pk, actor="ana")
        transaction.set_rollback(True)

    assert everything() == before


# --- Cancel -----------------------------------------------------------------------------------------------------------


def test_a_pending_run_is_cancelled(make_run: MakeRun) -> None:
    run = make_run()

    done = operations.cancel(run.pk, actor="ana")

    run.refresh_from_db()
    assert (run.state, run.reason) == ("cancelled", "cancelled")
    assert (done.run_id, done.changed, done.state, bool(done)) == (run.pk, True, State.CANCELLED, True)


def test_a_running_run_is_asked_to_cancel(make_run: MakeRun) -> None:
    run = make_run("running")

    done = operations.cancel(run.pk, actor="ana")

    run.refresh_from_db()
    assert (run.state, run.cancel_requested_at is not None) == ("running", True)
    assert (done.changed, done.state) == (True, State.RUNNING)


@pytest.mark.parametrize("state", ["completed", "failed", "dead_lettered", "cancelled"])
def test_what_has_ended_stays_as_it_is(state: str, make_run: MakeRun) -> None:
    run = make_run(state)
    before = everything()

    done = operations.cancel(run.pk, actor="ana")

    assert (done.changed, done.state, bool(done)) == (False, state, False)
    assert everything() == before


def test_cancelling_twice_is_recorded_once(make_run: MakeRun) -> None:
    waiting, running = make_run(), make_run("running")

    done = [operations.cancel(run.pk, actor="ana").changed for run in (waiting, waiting, running, running)]

    assert done == [True, False, True, False]
    assert Activity.objects.count() == 2


def test_by_force_is_a_change_even_where_it_was_asked_before(make_run: MakeRun) -> None:
    running, waiting, ended = make_run("running"), make_run(), make_run("completed")
    operations.cancel(running.pk, actor="ana")
    asked_at = Run.objects.get(pk=running.pk).cancel_requested_at

    done = [operations.cancel(run.pk, actor="ana", force=True).changed for run in (running, running, waiting, ended)]

    assert done == [True, False, True, False]
    running.refresh_from_db()
    assert (running.cancel_requested_at, running.cancel_forced) == (asked_at, True)
    assert list(Activity.objects.order_by("pk").values_list("detail", flat=True)) == [
        {},
        {"force": True},
        {"force": True},
    ]


# --- Replay -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["completed", "failed", "dead_lettered", "cancelled"])
def test_a_run_that_has_ended_is_replayed_as_a_new_run(state: str, make_run: MakeRun) -> None:
    about = {"tags": ["vip"], "tenant": "acme", "user": "7", "trace_id": "t1", "metadata": {"ip": "::1"}}
    old = make_run(state, payload={"to": "n1"}, priority=7, max_attempts=9, timeout_seconds=5, error="no disk", **about)
    before = Run.objects.filter(pk=old.pk).values().get()

    new = operations.replay(old.pk, actor="ana", reason="the disk is back")

    stored = Run.objects.get(pk=new.pk)
    assert (stored.replay_of_id, stored.state, stored.attempt, stored.error) == (old.pk, "pending", 0, None)
    assert (stored.payload, stored.priority, stored.max_attempts, stored.timeout_seconds) == ({"to": "n1"}, 7, 9, 5)
    assert {name: getattr(stored, name) for name in about} == about
    assert Run.objects.filter(pk=old.pk).values().get() == before
    activity = Activity.objects.get()
    assert (activity.operation, activity.run_id) == ("jobs.replay", new.pk)
    assert activity.detail == {"replay_of": old.pk}


def test_a_second_replay_gives_the_first_one_back(make_run: MakeRun) -> None:
    old = make_run("dead_lettered")

    first = operations.replay(old.pk, actor="ana")
    second = operations.replay(old.pk, actor="bo")

    assert (second.pk, first.added, second.added) == (first.pk, True, False)
    assert list(old.replays.all()) == [first]
    assert Activity.objects.count() == 1


def test_a_replay_that_has_ended_too_is_replayed_in_its_turn(make_run: MakeRun) -> None:
    old = make_run("dead_lettered")
    first = operations.replay(old.pk, actor="ana")
    operations.cancel(first.pk, actor="ana")

    again = operations.replay(old.pk, actor="ana")
    third = operations.replay(first.pk, actor="ana")

    assert (again.pk, again.state, again.added) == (first.pk, "cancelled", False)
    assert (third.replay_of_id, third.added) == (first.pk, True)


@pytest.mark.django_db(transaction=True)
def test_of_replays_at_the_same_moment_one_makes_the_run(make_run: MakeRun, at_once: AtOnce) -> None:
    for _ in range(5):
        old = make_run("dead_lettered")

        replays = at_once(partial(operations.replay, old.pk, actor="ana"))

        assert len({run.pk for run in replays}) == 1
        assert sorted(run.added for run in replays) == [False, False, False, True]
        assert Run.objects.filter(replay_of=old.pk).count() == 1


@pytest.mark.parametrize("state", ["pending", "running"])
def test_what_has_not_ended_is_not_replayed(state: str, make_run: MakeRun) -> None:
    run = make_run(state)
    before = everything()

    with pytest.raises(RunNotEnded, match=f"Run {run.pk} is {state}. Only a run that has ended can be replayed."):
        operations.replay(run.pk, actor="ana")

    assert everything() == before


def test_a_replay_is_checked_as_a_new_run_is(make_run: MakeRun) -> None:
    job(queue="mail", name="strict")(lambda to: None)
    gone, misfit = make_run("failed", job="gone"), make_run("failed", job="strict", payload={"whom": "n1"})
    before = everything()

    with pytest.raises(UnknownJob):
        operations.replay(gone.pk, actor="ana")
    with pytest.raises(PayloadError):
        operations.replay(misfit.pk, actor="ana")

    assert everything() == before
    assert not connection.needs_rollback


# --- Reschedule -------------------------------------------------------------------------------------------------------


def test_a_pending_run_is_put_off(make_run: MakeRun) -> None:
    run = make_run()
    later = timezone.now() + timedelta(hours=2)

    answer = operations.reschedule(run.pk, actor="ana", next_run_at=later, reason="the bank is closed")

    run.refresh_from_db()
    assert (run.run_at, run.priority, run.state, run.failures) == (later, 0, "pending", 0)
    assert (answer.pk, answer.run_at) == (run.pk, later)
    activity = Activity.objects.get()
    assert (activity.operation, activity.run_id, activity.detail) == ("jobs.reschedule", run.pk, {"run_at": str(later)})


@pytest.mark.parametrize("given", [{"next_run_at": "now"}, {"delay_seconds": 0}])
def test_a_future_run_is_let_start_at_once(given: dict[str, Any], make_run: MakeRun) -> None:
    run = make_run(run_at=timezone.now() + timedelta(days=1))

    operations.reschedule(run.pk, actor="ana", **given)

    assert Run.objects.due().get() == run


def test_a_delay_counts_from_now(make_run: MakeRun) -> None:
    run = make_run(run_at=timezone.now() + timedelta(days=1))

    operations.reschedule(run.pk, actor="ana", delay_seconds=60)

    run.refresh_from_db()
    assert 0 < (run.run_at - timezone.now()).total_seconds() <= 60


def test_a_run_is_moved_ahead_of_others(make_run: MakeRun) -> None:
    run = make_run()
    due = run.run_at

    operations.reschedule(run.pk, actor="ana", priority=50)

    run.refresh_from_db()
    assert (run.priority, run.run_at) == (50, due)


@pytest.mark.parametrize("state", ["running", "completed", "failed", "dead_lettered", "cancelled"])
def test_only_a_pending_run_is_rescheduled(state: str, make_run: MakeRun) -> None:
    run = make_run(state)
    before = everything()

    with pytest.raises(RunNotPending, match=f"Run {run.pk} is {state}. Only a pending run can be rescheduled."):
        operations.reschedule(run.pk, actor="ana", delay_seconds=60)

    assert everything() == before


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        ({}, InvalidArgument, "Give next_run_at, delay_seconds or priority: nothing else can be changed."),
        ({"next_run_at": "now", "delay_seconds": 5}, InvalidArgument, "Give next_run_at or delay_seconds, not both."),
        ({"next_run_at": "soon"}, InvalidRun, "next_run_at: must be a datetime, ISO-8601 text"),
        ({"next_run_at": "2999-01-01T00:00Z"}, InvalidRun, "next_run_at: .* is more than ten years from now"),
        ({"delay_seconds": -1}, InvalidRun, "delay_seconds: must be from 0 to ten years, got -1"),
        ({"priority": 101}, InvalidRun, "priority: must be a whole number from -100 to 100, got 101"),
        ({"priority": True}, InvalidRun, "priority: must be a whole number"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, Any], error: type[Exception], told: str, make_run: MakeRun) -> None:
    run = make_run()
    before = everything()

    with pytest.raises(error, match=told):
        operations.reschedule(run.pk, actor="ana", **given)

    assert everything() == before


def test_a_run_is_not_put_off_beyond_its_expiry(make_run: MakeRun) -> None:
    run = make_run(expires_at=timezone.now() + timedelta(hours=1))

    with pytest.raises(InvalidArgument, match=f"Run {run.pk} expires at .*, so it would never start."):
        operations.reschedule(run.pk, actor="ana", delay_seconds=7200)

    operations.reschedule(run.pk, actor="ana", delay_seconds=1800)


# --- Pause ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("until", "told"),
    [
        (datetime(2020, 1, 1, tzinfo=UTC), r"until: 2020-01-01 00:00:00\+00:00 is in the past\."),
        (timezone.now().replace(tzinfo=None), "until: must be an aware datetime"),
        (
            "2999-01-01T00:00Z",
            r"until: must be an aware datetime, as timezone.now\(\) gives it, got '2999-01-01T00:00Z'",
        ),
        (5, "until: must be an aware datetime"),
    ],
)
def test_a_pause_ends_at_a_time_to_come(until: Any, told: str) -> None:
    with pytest.raises(InvalidArgument, match=told):
        operations.pause_queue("mail", actor="ana", until=until)

    assert not Activity.objects.exists()
