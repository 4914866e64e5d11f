"""Replay and cancel, from the list and from the page of a run: asked to confirm, done, told and recorded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_jobqueue import operations
from django_jobqueue.admin import RunAdmin, run_actions
from django_jobqueue.models import Activity, Run
from django_jobqueue.operations import batches
from tests.admin.conftest import RUNS, MakeRun, Staff, page, run_url, told


def selected(verb: str, runs: Sequence[object], **more: object) -> dict[str, Any]:
    """What the list sends for an action on rows."""
    ids = [run.pk if isinstance(run, Run) else run for run in runs]
    return {"action": f"{verb}_selected", "_selected_action": ids, **more}


def snapshot() -> list[list[Any]]:
    return [list(Run.objects.order_by("pk").values()), list(Activity.objects.order_by("pk").values())]


# --- From the page of a run ------------------------------------------------------------------------------------------


def test_a_replay_is_confirmed_done_told_and_recorded(ana: Client, make_run: MakeRun) -> None:
    old = make_run("dead_lettered", reason="max_attempts", payload={"to": "n1"})

    question = page(ana.get(run_url(old, "replay")))
    response = ana.post(run_url(old, "replay"), {"reason": "mailbox emptied", "confirmed": "yes"})

    new = Run.objects.get(replay_of=old.pk)
    assert "Replay run" in question
    assert new.payload == {"to": "n1"}
    assert response["Location"] == run_url(new)
    [message] = told(response)
    assert f'was replayed as run <a href="{run_url(new)}">{new.pk}</a>.' in message
    activity = Activity.objects.get()
    assert (activity.operation, activity.actor, activity.reason) == ("jobs.replay", "ana", "mailbox emptied")


def test_a_pending_run_is_cancelled_at_once(ana: Client, make_run: MakeRun) -> None:
    run = make_run()

    response = ana.post(run_url(run, "cancel"), {"reason": "wrong address"})

    run.refresh_from_db()
    assert run.state == "cancelled"
    assert response["Location"] == run_url(run)
    assert "was cancelled." in told(response)[0]
    activity = Activity.objects.get()
    assert (activity.operation, activity.actor, activity.reason) == ("jobs.cancel", "ana", "wrong address")
    assert activity.run_id == run.pk


def test_a_running_run_is_asked_to_cancel(ana: Client, make_run: MakeRun) -> None:
    run = make_run("running")

    first = ana.post(run_url(run, "cancel"))
    second = ana.post(run_url(run, "cancel"))

    run.refresh_from_db()
    assert run.state == "running"
    assert run.cancel_requested_at is not None
    assert "was asked to cancel" in told(first)[0]
    assert "asked to cancel before. Nothing was changed." in told(second)[-1]
    assert Activity.objects.count() == 1


def test_a_running_run_can_be_cancelled_by_force(ana: Client, make_run: MakeRun) -> None:
    running, waiting = make_run("running"), make_run()
    ana.post(run_url(running, "cancel"))

    assert run_url(running, "force_cancel") in page(ana.get(run_url(running, "change")))
    assert run_url(waiting, "force_cancel") not in page(ana.get(run_url(waiting, "change")))
    assert "was asked to cancel" in told(ana.post(run_url(running, "force_cancel")))[-1]

    running.refresh_from_db()
    assert running.cancel_forced


def test_what_cannot_be_done_is_told_with_its_reason(ana: Client, make_run: MakeRun) -> None:
    running, ended, orphan = (
        make_run("running"),
        make_run("failed", reason="job_failed"),
        make_run("completed", job="old"),
    )
    before = snapshot()

    messages = [
        told(ana.post(run_url(run, verb)))[-1]
        for run, verb in [(running, "replay"), (ended, "cancel"), (orphan, "replay")]
    ]

    assert "Only a run that has ended can be replayed." in messages[0]
    assert "has ended already: it is failed. Nothing was changed." in messages[1]
    assert "&#x27;old&#x27; is not a job of queue &#x27;mail&#x27;." in messages[2]
    assert snapshot() == before


@pytest.mark.parametrize("reason", ["x" * 1001, "with\x00nul"])
def test_a_reason_that_cannot_be_kept_is_asked_for_again(ana: Client, make_run: MakeRun, reason: str) -> None:
    run = make_run()
    before = snapshot()

    text = page(ana.post(run_url(run, "cancel"), {"reason": reason}))

    assert 'class="errorlist"' in text
    assert snapshot() == before


# --- From the list ---------------------------------------------------------------------------------------------------


def test_an_action_asks_to_confirm_and_then_tells_what_came_of_it(ana: Client, make_run: MakeRun) -> None:
    runs = [make_run("completed"), make_run("running"), make_run("dead_lettered", reason="max_attempts")]
    before = snapshot()

    question = page(ana.post(RUNS, selected("replay", runs, index=0)))
    asked_only = snapshot()
    response = ana.post(RUNS, selected("replay", runs, confirmed="yes", reason="again"))

    assert "Replay 3 runs?" in question
    assert all(f'name="_selected_action" value="{run.pk}"' in question for run in runs)
    assert asked_only == before
    assert response["Location"] == RUNS
    new = list(Run.objects.exclude(replay_of=None).order_by("pk"))
    assert [run.replay_of_id for run in new] == [runs[0].pk, runs[2].pk]
    assert told(response) == ["2 runs were replayed.", "1 run has not ended yet."]
    activity = Activity.objects.get()
    assert (activity.operation, activity.actor, activity.reason) == ("jobs.replay_many", "ana", "again")
    assert activity.detail["filter"]["ids"] == [run.pk for run in runs]


@pytest.mark.parametrize(
    ("verb", "states", "messages"),
    [
        (
            "cancel",
            ["pending", "pending", "running", "asked", "failed", "completed"],
            [
                "2 runs were cancelled.<br>1 run is running: it was asked to cancel. "
                "It may still run to its end, but is not retried.",
                "1 run was asked to cancel before.<br>2 runs have ended already.",
            ],
        ),
        (
            "replay",
            ["completed", "failed", "cancelled", "pending", "running", "replayed", "gone"],
            [
                "3 runs were replayed.",
                "1 run was not replayed:<br>Run {}: &#x27;gone&#x27; is not a job of queue &#x27;mail&#x27;. "
                "Known: send.<br>2 runs have not ended yet.<br>1 run was replayed before.",
            ],
        ),
    ],
)
def test_of_several_runs_it_is_told_how_many_and_why_not_the_others(
    ana: Client, make_run: MakeRun, verb: str, states: list[str], messages: list[str]
) -> None:
    def make(word: str) -> Run:
        if word == "asked":
            return make_run("running", cancel_requested_at=timezone.now())
        if word == "gone":
            return make_run("failed", job="gone")
        run = make_run("failed" if word == "replayed" else word)
        if word == "replayed":
            operations.replay(run.pk, actor="bo")
        return run

    runs = [make(word) for word in states]

    response = ana.post(RUNS, selected(verb, runs, confirmed="yes"))

    assert told(response) == [message.format(f"{runs[-1].pk}") for message in messages]


@pytest.mark.parametrize("verb", ["cancel", "replay"])
def test_many_runs_take_no_query_each(ana: Client, make_run: MakeRun, verb: str) -> None:
    state = "pending" if verb == "cancel" else "failed"

    def queries(number: int) -> int:
        runs = [make_run(state) for _ in range(number)]
        with CaptureQueriesContext(connection) as captured:
            ana.post(RUNS, selected(verb, runs, confirmed="yes"))
        return len([query for query in captured if "jobqueue_" in query["sql"]])

    assert queries(100) <= queries(3)


def test_an_action_returns_to_the_list_with_its_filters(ana: Client, make_run: MakeRun) -> None:
    run = make_run("failed", reason="job_failed")
    address = f"{RUNS}?state=failed&before={run.pk + 1}"

    question = page(ana.post(address, selected("replay", [run], index=0)))
    response = ana.post(address, selected("replay", [run], confirmed="yes"))

    assert f'href="{RUNS}?state=failed&amp;before={run.pk + 1}"' in question
    assert response["Location"] == address


def test_runs_that_left_the_filter_meanwhile_are_told_of_too(ana: Client, make_run: MakeRun) -> None:
    run = make_run("completed")

    response = ana.post(f"{RUNS}?state=pending", selected("cancel", [run], confirmed="yes"))

    assert "has ended already" in told(response)[0]


def test_several_runs_are_cancelled_together(ana: Client, make_run: MakeRun) -> None:
    runs = [make_run() for _ in range(3)]

    ana.post(RUNS, selected("cancel", runs, confirmed="yes"))

    assert set(Run.objects.values_list("state", flat=True)) == {"cancelled"}


@pytest.mark.parametrize("ids", [["x"], ["-1"], ["1", "x"], ["%00"], [str(2**63)], ["9" * 5000], [""], []])
def test_what_is_no_id_selects_nothing(ana: Client, make_run: MakeRun, ids: list[str]) -> None:
    make_run(pk=1)
    before = snapshot()

    response = ana.post(RUNS, selected("cancel", ids, confirmed="yes"))

    assert response.status_code in {200, 302}
    assert snapshot() == before


def test_ids_that_lead_nowhere_do_no_harm(ana: Client, make_run: MakeRun) -> None:
    run = make_run()

    question = page(ana.post(RUNS, selected("cancel", [run.pk + 1], index=0)))
    ana.post(RUNS, selected("cancel", [run.pk + 1, run.pk], confirmed="yes"))

    assert "None of these runs exists any more." in question
    assert Run.objects.get().state == "cancelled"


# --- All that match, on all pages --------------------------------------------------------------------------------------


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunAdmin, "list_per_page", 2)
    monkeypatch.setattr(batches, "BATCH", 3)


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("page_shown", ["", "&before=5", "&after=1"])
def test_all_that_match_are_cancelled_on_all_pages(ana: Client, make_run: MakeRun, page_shown: str) -> None:
    runs = [make_run() for _ in range(6)] + [make_run("running")]
    others = [make_run(queue="reports", job="render"), make_run("failed", reason="job_failed")]
    address = f"{RUNS}?queue=mail{page_shown}"
    before = snapshot()

    question = page(ana.post(address, selected("cancel", runs[:1], select_across="1", index=0)))
    asked_only = snapshot()
    response = ana.post(address, selected("cancel", [1], select_across="1", confirmed="yes", reason="a bad import"))

    assert "Cancel 7 runs?" in question
    assert 'name="select_across" value="1"' in question
    assert asked_only == before
    assert response["Location"] == address
    assert told(response) == [
        "6 runs were cancelled.<br>1 run is running: it was asked to cancel. "
        "It may still run to its end, but is not retried."
    ]
    assert [Run.objects.get(pk=run.pk).state for run in runs] == ["cancelled"] * 6 + ["running"]
    assert [Run.objects.get(pk=run.pk).state for run in others] == ["pending", "failed"]
    activity = Activity.objects.get()
    assert (activity.operation, activity.actor, activity.reason) == ("jobs.cancel_many", "ana", "a bad import")
    assert activity.detail == {"filter": {"queue": "mail"}, "cancelled": 6, "asked": 1}


@pytest.mark.usefixtures("small_pages")
def test_all_that_match_are_replayed_if_they_ended_badly_or_that_is_the_filter(ana: Client, make_run: MakeRun) -> None:
    for state in ("failed", "dead_lettered", "failed", "completed", "completed", "pending"):
        make_run(state)

    bad = ana.post(f"{RUNS}?job=send", selected("replay", [1], select_across="1", confirmed="yes"))
    good = ana.post(f"{RUNS}?state=completed", selected("replay", [1], select_across="1", confirmed="yes"))
    again = ana.post(f"{RUNS}?state=completed", selected("replay", [1], select_across="1", confirmed="yes"))

    assert [told(response)[-1] for response in (bad, good)] == ["3 runs were replayed.", "2 runs were replayed."]
    assert told(again)[-1] == "This cannot be done to any of these runs. Nothing was changed."


@pytest.mark.usefixtures("small_pages")
def test_the_ids_that_are_looked_for_are_a_filter_too(ana: Client, make_run: MakeRun) -> None:
    runs = [make_run() for _ in range(4)]
    address = f"{RUNS}?q={runs[0].pk}+{runs[1].pk},{runs[2].pk}"

    ana.post(address, selected("cancel", [1], select_across="1", confirmed="yes"))
    ana.post(f"{RUNS}?q=x", selected("cancel", [1], select_across="1", confirmed="yes"))
    ana.post(f"{RUNS}?q=x&queue=mail", selected("cancel", [1], select_across="1", confirmed="yes"))

    assert list(Run.objects.order_by("pk").values_list("state", flat=True)) == ["cancelled"] * 3 + ["pending"]


@pytest.mark.parametrize("query", ["", "?q=", "?queue=", "?before=99"])
def test_without_a_filter_nothing_is_done_to_all(ana: Client, make_run: MakeRun, query: str) -> None:
    run = make_run()

    responses = [
        ana.post(RUNS + query, selected("cancel", [run], select_across="1", **confirmed))
        for confirmed in ({}, {"confirmed": "yes"})
    ]

    for response in responses:
        assert "Nothing was changed." in told(response)[0]
    assert Run.objects.get().state == "pending"


def test_one_request_does_not_take_for_ever(ana: Client, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_actions, "MOST", 3)
    for _ in range(5):
        make_run()
    choice = selected("cancel", [1], select_across="1", confirmed="yes")

    question = page(ana.post(f"{RUNS}?queue=mail", selected("cancel", [1], select_across="1")))
    first, second = (ana.post(f"{RUNS}?queue=mail", choice) for _ in range(2))

    assert "Cancel 3 runs?" in question
    assert told(first) == [
        "3 runs were cancelled.",
        "There may be more: this is as many as one request changes. Do it again to continue.",
    ]
    assert told(second)[-1] == "2 runs were cancelled."


@pytest.mark.usefixtures("small_pages")
def test_the_link_to_all_that_match_is_there_where_a_filter_has_more_than_a_page(
    ana: Client, make_run: MakeRun
) -> None:
    link = "Select all matching runs, on all pages"
    _, second, _ = (make_run() for _ in range(3))
    make_run(queue="reports", job="render")

    assert link in page(ana.get(f"{RUNS}?queue=mail"))
    assert link in page(ana.get(f"{RUNS}?queue=mail&before={second.pk}"))
    assert link not in page(ana.get(f"{RUNS}?queue=reports"))
    assert link not in page(ana.get(RUNS))


def test_a_project_may_narrow_what_its_staff_can_reach(
    ana: Client, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    visible = RunAdmin.get_queryset
    monkeypatch.setattr(RunAdmin, "get_queryset", lambda self, request: visible(self, request).filter(tenant="a"))
    foreign = make_run(tenant="b")

    own = make_run(tenant="a")
    ana.post(RUNS, selected("cancel", [foreign], confirmed="yes"))
    ana.post(RUNS, selected("cancel", [foreign, own], confirmed="yes"))
    ana.post(f"{RUNS}?queue=mail", selected("cancel", [1], select_across="1", confirmed="yes"))
    response = ana.post(run_url(foreign, "cancel"))

    foreign.refresh_from_db()
    assert foreign.state == "pending"
    assert response["Location"] == RUNS


# --- Permissions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("verb", "other"), [("replay", "cancel"), ("cancel", "replay")])
def test_each_verb_needs_its_own_permission(staff: Staff, make_run: MakeRun, verb: str, other: str) -> None:
    runs = [make_run(), make_run("completed")]
    before = snapshot()
    client = staff("view_run", f"{other}_run")

    pages = [page(client.get(run_url(run))) for run in runs]
    answers = [client.get(run_url(run, verb)).status_code for run in runs]
    answers += [client.post(run_url(run, verb), {"confirmed": "yes"}).status_code for run in runs]
    client.post(RUNS, selected(verb, runs, confirmed="yes"))
    client.post(f"{RUNS}?queue=mail", selected(verb, [1], select_across="1", confirmed="yes"))

    assert not any(f"/{verb}/" in text for text in pages)
    assert f"{verb}_selected" not in page(client.get(RUNS))
    assert f"{other}_selected" in page(client.get(RUNS))
    assert set(answers) == {403}
    assert snapshot() == before


@pytest.mark.parametrize("verb", ["replay", "cancel"])
def test_the_permission_is_enough_together_with_that_to_view(staff: Staff, make_run: MakeRun, verb: str) -> None:
    client = staff("view_run", f"{verb}_run")

    client.post(RUNS, selected(verb, [make_run("pending" if verb == "cancel" else "completed")], confirmed="yes"))

    assert Activity.objects.get().operation == f"jobs.{verb}"
    assert Activity.objects.get().actor == "sam"


@pytest.mark.parametrize("verb", ["replay", "cancel"])
def test_who_may_not_view_runs_may_not_change_them_either(staff: Staff, make_run: MakeRun, verb: str) -> None:
    run = make_run("completed")
    before = snapshot()
    client = staff(f"{verb}_run")

    assert client.post(run_url(run, verb)).status_code == 403
    assert client.post(RUNS, selected(verb, [run], confirmed="yes")).status_code == 403
    assert snapshot() == before
