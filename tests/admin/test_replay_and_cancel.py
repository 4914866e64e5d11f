"""Replay and cancel, from the list and from the page of a run: asked to confirm, done, told and recorded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from django.test import Client

from django_jobqueue.models import Activity, Run
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


def test_an_action_asks_to_confirm_and_then_tells_of_each_run(ana: Client, make_run: MakeRun) -> None:
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
    done, refused = told(response)
    assert done.count("was replayed as run") == 2
    assert refused.count("was not replayed") == 1
    assert set(Activity.objects.values_list("actor", "reason")) == {("ana", "again")}


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

    assert "None of these runs is there any more." in question
    assert Run.objects.get().state == "cancelled"


def test_no_action_ever_takes_all_that_match(ana: Client, make_run: MakeRun) -> None:
    run, other = make_run(), make_run()

    response = ana.post(RUNS, selected("cancel", [run], select_across="1", confirmed="yes"))

    assert "Select runs in the list." in told(response)[0]
    assert {run.state for run in Run.objects.filter(pk__in=[run.pk, other.pk])} == {"pending"}


def test_a_project_may_narrow_what_its_staff_can_reach(
    ana: Client, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django_jobqueue.admin import RunAdmin

    visible = RunAdmin.get_queryset
    monkeypatch.setattr(RunAdmin, "get_queryset", lambda self, request: visible(self, request).filter(tenant="a"))
    foreign = make_run(tenant="b")

    ana.post(RUNS, selected("cancel", [foreign], confirmed="yes"))
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

    assert not any(f"/{verb}/" in text for text in pages)
    assert f"{verb}_selected" not in page(client.get(RUNS))
    assert f"{other}_selected" in page(client.get(RUNS))
    assert set(answers) == {403}
    assert snapshot() == before


@pytest.mark.parametrize("verb", ["replay", "cancel"])
def test_the_permission_is_enough_together_with_that_to_view(staff: Staff, make_run: MakeRun, verb: str) -> None:
    runs = [make_run(), make_run("completed")]
    client = staff("view_run", f"{verb}_run")

    client.post(RUNS, selected(verb, runs, confirmed="yes"))

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
