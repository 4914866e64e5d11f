"""The queues page lists what the settings declare, counts at a fixed price, and pauses and resumes."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from django_jobqueue import operations
from django_jobqueue.admin import queue_figures
from django_jobqueue.models import Activity, QueueState, Worker
from tests.admin.conftest import QUEUES, MakeRun, Staff, page, told


def row(client: Client, queue: str) -> Any:
    """What the page shows of a queue."""
    return next(item for item in client.get(QUEUES).context["rows"] if item.queue.config.name == queue)


def numbers(client: Client, queue: str) -> list[str]:
    return [number for _, _, number in row(client, queue).counts]


def is_paused(queue: str) -> bool:
    return QueueState.objects.filter(queue=queue, paused_at__isnull=False).exists()


def test_all_queues_of_the_settings_are_listed_with_their_jobs(ana: Client) -> None:
    text = page(ana.get(QUEUES))

    assert [item.queue.config.name for item in ana.get(QUEUES).context["rows"]] == ["default", "mail", "reports"]
    assert '<span class="jq-note">send</span>' in text
    assert '<span class="jq-note">no jobs</span>' in text
    assert "/ 8" in text


def test_the_jobs_of_a_queue_that_are_paused_are_named(ana: Client) -> None:
    operations.pause_job("mail", "send", actor="bo")

    text = page(ana.get(QUEUES))

    assert text.count("paused jobs: ") == 1
    assert '<span class="jq-note">paused jobs: send</span>' in text


def test_the_limit_of_a_queue_is_the_one_that_holds(ana: Client) -> None:
    operations.set_limit("mail", "concurrent_jobs", 3, actor="bo")
    operations.set_limit("mail", "concurrent_jobs", 2, job="send", actor="bo")

    text = page(ana.get(QUEUES))

    assert " / 3</span>" in text
    assert "/ 8" not in text


def test_the_page_stands_among_the_others_as_queues(ana: Client) -> None:
    text = page(ana.get("/admin/django_jobqueue/"))

    for name in ["Runs", "Queues", "Workers", "Schedules", "Activities"]:
        assert re.search(rf">\s*{name}\s*</a>", text), name
    assert "Attempts" not in text


def test_runs_are_counted_by_what_they_wait_for(ana: Client, make_run: MakeRun) -> None:
    now = timezone.now()
    for hours, failures in [(-1, 0), (-1, 0), (1, 0), (1, 1), (2, 0)]:
        make_run(run_at=now + timedelta(hours=hours), failures=failures)
    make_run("running")
    make_run("completed")
    make_run(namespace="staging")
    make_run(queue="reports", job="render", priority=5)

    assert numbers(ana, "mail") == ["2", "3", "1"]
    assert row(ana, "mail").figures.running == 1
    assert numbers(ana, "reports") == ["1", "0", "0"]
    assert numbers(ana, "default") == ["0", "0", "0"]


def test_runs_that_are_parked_are_counted_too(ana: Client, make_run: MakeRun) -> None:
    make_run()
    make_run(blocked_on="key:/7")
    make_run(blocked_on="rate:", run_at=timezone.now() + timedelta(hours=1), failures=1)

    assert numbers(ana, "mail") == ["2", "1", "1"]


@pytest.mark.parametrize("blocked_on", [None, "key:/7"])
def test_counting_stops_where_it_is_enough(
    ana: Client, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, blocked_on: str | None
) -> None:
    monkeypatch.setattr(queue_figures, "MOST", 3)
    later = timezone.now() + timedelta(hours=1)
    for _ in range(2):
        make_run(blocked_on=blocked_on)
    for _ in range(5):
        make_run(blocked_on=blocked_on, run_at=later)

    assert numbers(ana, "mail") == ["2+", "2+", "0+"]


def test_a_number_of_thousands_is_told_with_a_separator(ana: Client, make_run: MakeRun) -> None:
    figures = queue_figures.QueueFigures(due=1000, scheduled=0, retrying=0, running=0, more=True)

    assert figures.shown(figures.due) == "1,000+"


def test_no_query_reads_more_runs_than_it_counts(staff: Staff, make_run: MakeRun) -> None:
    make_run()
    client = staff("view_queuestate", "view_run", "pause_queue")
    operations.pause_queue("mail", actor="bo")

    with CaptureQueriesContext(connection) as queries:
        page(client.get(QUEUES))

    table = connection.ops.quote_name("jobqueue_run")
    on_runs = [query["sql"] for query in queries if table in query["sql"]]
    assert len(on_runs) == 7  # one for all that runs, and two for each queue
    assert len(queries) <= 15
    for sql in on_runs:
        assert "LIMIT 1001" in sql or "= 'running'" in sql


@pytest.mark.parametrize(("minutes", "working"), [(0, True), (50, True), (70, False)])
def test_a_queue_has_a_worker_while_its_heartbeat_is_younger_than_a_lease(
    ana: Client, settings: Settings, minutes: int, working: bool
) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {"lease_seconds": 3600}, "reports": {}}}
    seen = timezone.now() - timedelta(minutes=minutes)
    Worker.objects.create(name="w", queues=["mail", "gone"], concurrency=8, started_at=seen, heartbeat_at=seen)

    assert row(ana, "mail").queue.workers == working
    assert ("working" in row(ana, "mail").badge) == working
    assert "no worker" in row(ana, "reports").badge


# --- Pause and resume ------------------------------------------------------------------------------------------------


def test_a_pause_is_confirmed_done_told_shown_and_recorded(ana: Client) -> None:
    question = page(ana.get(f"{QUEUES}mail/pause/"))
    asked_only = is_paused("mail")
    response = ana.post(f"{QUEUES}mail/pause/", {"reason": "provider outage", "confirmed": "yes"})

    text = page(ana.get(QUEUES))
    assert "Pause queue mail?" in question
    assert not asked_only
    assert response["Location"] == QUEUES
    assert told(response) == ["Queue mail is paused."]
    assert is_paused("mail")
    assert not is_paused("reports")
    assert "by ana, " in text
    assert "provider outage" in text
    activity = Activity.objects.get()
    assert (activity.operation, activity.actor, activity.reason) == ("queues.pause", "ana", "provider outage")
    assert activity.queue == "mail"


def test_a_pause_may_have_an_end_in_the_current_time_zone(ana: Client) -> None:
    with timezone.override("Asia/Tokyo"):
        until = timezone.localtime().replace(second=0, microsecond=0) + timedelta(hours=2)
        question = page(ana.get(f"{QUEUES}mail/pause/"))
        ana.post(f"{QUEUES}mail/pause/", {"until": f"{until:%Y-%m-%dT%H:%M}"})

    assert "Asia/Tokyo" in question
    assert QueueState.objects.get().paused_until == until
    assert "ends " in page(ana.get(QUEUES))


@pytest.mark.parametrize("until", ["2001-01-01T00:00", "nonsense", "9999999-01-01T00:00", "\x00"])
def test_an_end_that_cannot_be_is_asked_for_again(ana: Client, until: str) -> None:
    text = page(ana.post(f"{QUEUES}mail/pause/", {"until": until}))

    assert 'class="errorlist"' in text
    assert not is_paused("mail")


def test_a_pause_that_is_over_is_not_shown(ana: Client) -> None:
    now = timezone.now()
    QueueState.objects.create(queue="mail", paused_at=now - timedelta(hours=2), paused_until=now - timedelta(hours=1))

    assert row(ana, "mail").queue.pause is None


def test_a_resume_is_confirmed_done_told_and_recorded(ana: Client) -> None:
    operations.pause_queue("mail", actor="bo")

    question = page(ana.get(f"{QUEUES}mail/resume/"))
    asked_only = is_paused("mail")
    response = ana.post(f"{QUEUES}mail/resume/", {"reason": "back again"})
    again = ana.post(f"{QUEUES}mail/resume/")

    assert "Resume queue mail?" in question
    assert asked_only
    assert not is_paused("mail")
    assert told(response) == ["Queue mail is resumed."]
    assert told(again)[-1] == "Queue mail was not paused. Nothing was changed."
    activity = Activity.objects.get(operation="queues.resume")
    assert (activity.actor, activity.reason) == ("ana", "back again")


@pytest.mark.parametrize("queue", ["gone", "%00", "x" * 300, "<script>"])
@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_a_queue_that_is_not_declared_is_not_found(ana: Client, queue: str, verb: str) -> None:
    assert ana.get(f"{QUEUES}{queue}/{verb}/").status_code == 404
    assert ana.post(f"{QUEUES}{queue}/{verb}/").status_code == 404


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_pausing_needs_its_permission(staff: Staff, verb: str) -> None:
    operations.pause_queue("mail", actor="bo")
    client = staff("view_queuestate", "view_run", "replay_run", "cancel_run")
    paused = "reports" if verb == "pause" else "mail"

    text = page(client.get(QUEUES))
    answers = [client.get(f"{QUEUES}{paused}/{verb}/"), client.post(f"{QUEUES}{paused}/{verb}/")]

    assert "/pause/" not in text
    assert "/resume/" not in text
    assert {answer.status_code for answer in answers} == {403}
    assert is_paused("mail")
    assert not is_paused("reports")


def test_the_permission_to_pause_is_enough_together_with_that_to_view(staff: Staff) -> None:
    client = staff("view_queuestate", "pause_queue")

    client.post(f"{QUEUES}mail/pause/")

    assert is_paused("mail")
    assert "/admin/django_jobqueue/run/" not in page(client.get(QUEUES))


def test_who_may_not_view_queues_may_not_pause_them_either(staff: Staff) -> None:
    client = staff("pause_queue")

    assert client.get(QUEUES).status_code == 403
    assert client.post(f"{QUEUES}mail/pause/").status_code == 403
    assert not is_paused("mail")


@pytest.mark.parametrize("address", ["add/", "1/change/", "1/delete/", "1/history/"])
def test_the_rows_behind_the_page_have_no_pages(ana: Client, address: str) -> None:
    operations.pause_queue("mail", actor="bo")

    assert ana.get(QUEUES + address).status_code == 404
    assert ana.post(QUEUES).status_code == 405


def test_a_very_long_user_name_fits(client: Client, db: None) -> None:
    user = User.objects.create_superuser("y" * 150)
    client.force_login(user)

    client.post(f"{QUEUES}mail/pause/")

    assert Activity.objects.get().actor == "y" * 150
