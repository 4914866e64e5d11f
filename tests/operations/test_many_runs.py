"""Operations on many runs: in batches, each run once, one activity a call."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from django_jobqueue import job, operations, queues
from django_jobqueue.errors import InvalidArgument, UnknownQueue
from django_jobqueue.models import Activity, Run
from django_jobqueue.operations import CancelledMany, ReplayedMany, RunFilter, batches
from tests.listening import Listener
from tests.operations.conftest import AtOnce, MakeRun, row

pytestmark = pytest.mark.django_db

MAIL = RunFilter(queue="mail")


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH", 3)


def states(*runs: Run) -> list[str]:
    return [Run.objects.get(pk=run.pk).state for run in runs]


# --- Cancel -----------------------------------------------------------------------------------------------------------


def test_what_waits_is_cancelled_and_what_runs_is_asked_to(make_run: MakeRun) -> None:
    waiting, running = [make_run() for _ in range(7)], [make_run("running") for _ in range(2)]
    others = [make_run("completed"), make_run(queue="reports"), make_run(namespace="elsewhere")]

    done = operations.cancel_many(MAIL, actor="ana", reason="a bad import")

    assert done == CancelledMany(cancelled=7, asked=2)
    assert states(*waiting) == ["cancelled"] * 7
    assert states(*running) == ["running"] * 2
    assert all(Run.objects.filter(pk__in=[run.pk for run in running]).values_list("cancel_requested_at", flat=True))
    assert states(*others) == ["completed", "pending", "pending"]


def test_a_call_is_one_activity_with_its_filter_and_its_counts(make_run: MakeRun) -> None:
    for _ in range(7):
        make_run()

    operations.cancel_many(RunFilter(queue="mail", states=["pending"]), actor="ana", reason="a bad import")

    activity = Activity.objects.get()
    assert (activity.operation, activity.actor, activity.reason) == ("jobs.cancel_many", "ana", "a bad import")
    assert (activity.queue, activity.run_id) == ("mail", None)
    assert activity.detail == {"filter": {"queue": "mail", "states": ["pending"]}, "cancelled": 7, "asked": 0}


def test_cancelling_twice_changes_nothing_and_is_recorded_once(make_run: MakeRun) -> None:
    make_run(), make_run("running")

    first, second = (operations.cancel_many(MAIL, actor="ana") for _ in range(2))

    assert (first, second) == (CancelledMany(cancelled=1, asked=1), CancelledMany())
    assert Activity.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_each_cancelled_run_is_told_of_and_counted_once(make_run: MakeRun, listener: Listener) -> None:
    runs = [make_run() for _ in range(7)]

    operations.cancel_many(MAIL, actor="ana")
    operations.cancel_many(MAIL, actor="ana")

    assert [listener.keys(run) for run in runs] == [["cancelled"]] * 7
    assert queues.mail.stats().cancelled == 7


# --- Replay -----------------------------------------------------------------------------------------------------------


def test_runs_that_failed_are_replayed_each_once(make_run: MakeRun) -> None:
    failed = [make_run(state) for state in ("failed", "dead_lettered") for _ in range(4)]
    make_run("completed"), make_run("cancelled"), make_run(), make_run("failed", queue="reports", job="render")

    first, second = (operations.replay_many(MAIL, actor="ana") for _ in range(2))

    assert (first, second) == (ReplayedMany(replayed=8), ReplayedMany())
    replays = Run.objects.exclude(replay_of=None)
    assert sorted(replays.values_list("replay_of_id", flat=True)) == [run.pk for run in failed]
    assert set(replays.values_list("state", flat=True)) == {"pending"}
    activity = Activity.objects.get()
    assert activity.detail == {
        "filter": {"queue": "mail", "states": ["dead_lettered", "failed"]},
        "replayed": 8,
        "refused": 0,
    }


def test_what_was_replayed_singly_is_not_replayed_again(make_run: MakeRun) -> None:
    old = make_run("failed")
    new = operations.replay(old.pk, actor="ana")
    Run.objects.filter(pk=new.pk).cancel_pending()

    assert operations.replay_many(MAIL, actor="ana") == ReplayedMany()


def test_other_ends_are_replayed_where_they_are_named(make_run: MakeRun) -> None:
    make_run("completed"), make_run("failed")

    assert operations.replay_many(RunFilter(states=["completed"]), actor="ana").replayed == 1


def test_runs_are_named_by_their_ids(make_run: MakeRun) -> None:
    runs = [make_run("failed") for _ in range(5)]
    which = RunFilter(ids=[runs[1].pk, runs[3].pk])

    assert operations.replay_many(which, actor="ana").replayed == 2
    assert set(Run.objects.exclude(replay_of=None).values_list("replay_of_id", flat=True)) == {*which.ids}


def test_what_cannot_be_added_again_hinders_no_other(make_run: MakeRun) -> None:
    job(queue="mail", name="strict")(lambda to: None)
    make_run("failed", job="gone"), make_run("failed", job="strict", payload={"whom": 1}), make_run("failed")

    done = operations.replay_many(MAIL, actor="ana")

    assert (done.replayed, done.refused) == (1, 2)
    assert "'gone' is not a job of queue 'mail'" in done.refusals[0]
    assert "strict" in done.refusals[1] or "whom" in done.refusals[1]


def test_refused_runs_do_not_count_towards_the_limit(make_run: MakeRun) -> None:
    job(queue="mail", name="sync", unique="live", unique_key="to")(lambda to: None)
    for to in ("n1", "n2", "n3"):
        make_run("failed", job="sync", payload={"to": to})
    for to in ("n1", "n2"):
        queues.mail.add("sync", {"to": to})

    first, second = (operations.replay_many(MAIL, actor="ana", limit=1) for _ in range(2))

    assert (first.replayed, first.refused, first.more) == (1, 2, True)
    assert (second.replayed, second.refused, second.more) == (0, 2, False)
    assert Run.objects.exclude(replay_of=None).get().payload == {"to": "n3"}


@pytest.mark.parametrize("why", ["gone", "duplicate"])
def test_a_call_that_only_refuses_is_an_activity_too(make_run: MakeRun, why: str) -> None:
    if why == "duplicate":
        job(queue="mail", name="sync", unique="live")(lambda: None)
        queues.mail.add("sync")
    make_run("failed", job="sync")

    operations.replay_many(MAIL, actor="ana")

    assert {name: Activity.objects.get().detail[name] for name in ("replayed", "refused")} == {
        "replayed": 0,
        "refused": 1,
    }


def test_replays_that_fail_at_once_are_not_replayed_by_the_same_call(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH", 1)
    for _ in range(3):
        make_run("failed")

    def fail_them(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        answer = execute(sql, params, many, context)
        if re.search(r"INSERT\s+INTO jobqueue_run\b", sql):
            make_run("failed")  # as a worker that is fast
        return answer

    with connection.execute_wrapper(fail_them):
        done = operations.replay_many(MAIL, actor="ana")

    assert done.replayed == 3


@pytest.mark.django_db(transaction=True)
def test_calls_at_the_same_moment_replay_each_run_once(make_run: MakeRun, at_once: AtOnce) -> None:
    Run.objects.bulk_create([row("dead_lettered") for _ in range(40)])

    done = at_once(partial(operations.replay_many, MAIL, actor="ana"))

    assert sum(one.replayed for one in done) == 40
    assert Run.objects.exclude(replay_of=None).count() == 40


@pytest.mark.django_db(transaction=True)
def test_what_was_done_before_an_interruption_stays_and_the_same_call_goes_on(make_run: MakeRun) -> None:
    for _ in range(8):
        make_run("failed")
    inserts = []

    def interrupt(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if re.search(r"INSERT\s+INTO jobqueue_run\b", sql):
            inserts.append(sql)
            if len(inserts) == 3:
                raise OperationalError("gone")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(interrupt), pytest.raises(OperationalError):
        operations.replay_many(MAIL, actor="ana")
    before = Activity.objects.get().detail["replayed"]
    after = operations.replay_many(MAIL, actor="ana").replayed

    assert (before, after) == (6, 2)
    assert Run.objects.exclude(replay_of=None).count() == 8


# --- Both -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "state"), [(operations.cancel_many, "pending"), (operations.replay_many, "failed")]
)
def test_a_dry_run_counts_and_changes_nothing(operation: Any, state: str, make_run: MakeRun) -> None:
    for _ in range(5):
        make_run(state)

    with CaptureQueriesContext(connection) as queries:
        done = operation(MAIL, actor="ana", dry_run=True)

    assert (getattr(done, "cancelled", None) or done.replayed, done.dry_run) == (5, True)
    assert all(query["sql"].startswith("SELECT") for query in queries)


@pytest.mark.parametrize(
    ("operation", "state"), [(operations.cancel_many, "pending"), (operations.replay_many, "failed")]
)
@pytest.mark.parametrize(("limit", "told"), [(4, (4, True)), (5, (5, True)), (6, (5, False))])
def test_a_dry_run_counts_up_to_its_limit(
    operation: Any, state: str, limit: int, told: tuple[int, bool], make_run: MakeRun
) -> None:
    for _ in range(5):
        make_run(state)

    done = operation(MAIL, actor="ana", limit=limit, dry_run=True)

    assert (getattr(done, "cancelled", None) or done.replayed, done.more) == told


@pytest.mark.parametrize(
    ("operation", "state"), [(operations.cancel_many, "pending"), (operations.replay_many, "failed")]
)
def test_a_face_may_narrow_down_which_runs_can_be_meant(operation: Any, state: str, make_run: MakeRun) -> None:
    own, foreign = make_run(state, tenant="a"), make_run(state, tenant="b")
    make_run(state, tenant="a", namespace="elsewhere")
    narrow = Run.objects.filter(tenant="a").only("id").order_by("-pk")
    which = RunFilter(queue="mail", among=narrow)

    with CaptureQueriesContext(connection) as queries:
        done = operation(which, actor="ana")

    assert (getattr(done, "cancelled", None) or done.replayed) == 1
    assert len([query for query in queries if query["sql"].startswith("SELECT")]) <= 5  # none that reads a column later
    assert states(own, foreign) == ["cancelled" if state == "pending" else "failed", state]
    assert not Run.objects.filter(replay_of=foreign.pk).exists()
    assert Activity.objects.get().detail["filter"]["queue"] == "mail"
    with pytest.raises(InvalidArgument, match="Say which runs"):
        operation(RunFilter(among=narrow), actor="ana")


@pytest.mark.parametrize(
    ("operation", "state"), [(operations.cancel_many, "pending"), (operations.replay_many, "failed")]
)
def test_a_limit_ends_it_early(operation: Any, state: str, make_run: MakeRun) -> None:
    for _ in range(9):
        make_run(state)

    done = [operation(MAIL, actor="ana", limit=4) for _ in range(3)]

    assert [getattr(one, "cancelled", None) or one.replayed for one in done] == [4, 4, 1]
    assert [one.more for one in done] == [True, True, False]


@pytest.mark.parametrize("operation", [operations.cancel_many, operations.replay_many])
@pytest.mark.parametrize(
    ("which", "given", "told"),
    [
        (RunFilter(), {}, "Say which runs: a filter without any condition would mean all of them."),
        (MAIL, {"limit": 0}, "limit: must be a whole number of at least 1, got 0."),
        (MAIL, {"limit": True}, "limit: must be a whole number of at least 1, got True."),
        (MAIL, {"actor": ""}, "actor: must be a user"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    operation: Any, which: RunFilter, given: dict[str, Any], told: str, make_run: MakeRun
) -> None:
    make_run(), make_run("failed")
    before = list(Run.objects.values())

    with pytest.raises(InvalidArgument) as caught:
        operation(which, **{"actor": "ana"} | given)

    assert told in str(caught.value)
    assert list(Run.objects.values()) == before


@pytest.mark.parametrize("operation", [operations.cancel_many, operations.replay_many])
@pytest.mark.parametrize(
    ("which", "error", "told"),
    [
        ({"queue": "mial"}, UnknownQueue, "'mial' is not a queue. Did you mean 'mail'?"),
        ({"queue": "mial", "job": "send"}, UnknownQueue, "'mial' is not a queue. Did you mean 'mail'?"),
        ({"job": "sned"}, InvalidArgument, "job: 'sned' is not a job. Did you mean 'send'?"),
        ({"queue": "mail", "job": "render"}, InvalidArgument, "job: 'render' is not a job. Did you mean 'send'?"),
        ({"queue": "old", "job": "sned"}, InvalidArgument, "job: 'sned' is not a job. There are none."),
    ],
)
def test_a_name_that_neither_this_release_nor_any_run_knows_is_refused(
    operation: Any, which: Any, error: type[Exception], told: str, make_run: MakeRun
) -> None:
    make_run("failed", queue="old", job="gone")

    with pytest.raises(error) as caught:
        operation(RunFilter(**which), actor="ana", dry_run=True)

    assert str(caught.value) == told


@pytest.mark.parametrize(
    "which",
    [
        {"job": "render"},
        {"queue": "mail", "job": "letter"},
        {"queue": "mail", "job": "broken"},
        {"queue": "exports", "job": "monthly"},
    ],
    ids=["another queue", "an old name", "a job that cannot work", "a job of an external queue"],
)
def test_a_name_that_is_known_may_be_of_no_run(which: Any, settings: Settings) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {}, "reports": {}, "exports": {"external": True}}}
    job(queue="mail", name="deliver", aliases=["letter"])(lambda: None)
    job(queue="mail", name="broken", unique_key="nowhere.to_be_found", unique="live")(lambda: None)

    assert operations.cancel_many(RunFilter(**which), actor="ana") == CancelledMany()


def test_names_that_are_declared_no_more_are_known_by_their_runs(make_run: MakeRun) -> None:
    make_run(queue="old", job="gone"), make_run(queue="old"), make_run(job="gone")

    for which, number in [
        (RunFilter(queue="old", job="gone"), 1),
        (RunFilter(queue="old"), 1),
        (RunFilter(job="gone"), 1),
    ]:
        assert operations.cancel_many(which, actor="ana").cancelled == number


@pytest.mark.parametrize(
    ("operation", "which", "told"),
    [
        (
            operations.replay_many,
            {"states": ["failed", "due"]},
            "state: a due run cannot be replayed. Those that can: ",
        ),
        (
            operations.cancel_many,
            {"states": ["completed"]},
            "state: a completed run cannot be cancelled. Those that can: ",
        ),
        (
            operations.cancel_many,
            {"queue": "mail", "reason": "lost"},
            "reason: a run that has one, such as 'lost', has",
        ),
    ],
)
def test_what_can_be_done_to_no_such_run_is_refused(operation: Any, which: Any, told: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        operation(RunFilter(**which), actor="ana")

    assert str(caught.value).startswith(told)


def test_no_run_is_between_two_moments_of_which_the_later_comes_first() -> None:
    now = timezone.now()

    with pytest.raises(InvalidArgument, match=r"^since: .* is not before until"):
        RunFilter(since=now, until=now)


def test_an_id_of_no_run_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="ids: 'x' is the id of no run"):
        RunFilter(ids=["x"])  # type: ignore[list-item]


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_hundreds_of_dead_runs_are_replayed_once_each_by_whoever_clicks_at_the_same_moment(
    at_once: AtOnce, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH", 20)
    Run.objects.bulk_create([row("dead_lettered") for _ in range(600)])

    done = at_once(partial(operations.replay_many, MAIL, actor="ana"))

    assert sum(one.replayed for one in done) == 600
    assert Run.objects.exclude(replay_of=None).values("replay_of").distinct().count() == 600
