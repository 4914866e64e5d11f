"""The page of a run tells all that is known of it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from django_jobqueue import operations
from django_jobqueue.models import Attempt, Run, Schedule, Worker
from tests.admin.conftest import RUNS, MakeRun, Staff, page, run_url, told


def make_attempt(run: Run, number: int, outcome: str = "retried", **columns: Any) -> None:
    now = timezone.now()
    known = {"worker": "web-1:4411:abcd", "started_at": now - timedelta(seconds=2), "finished_at": now}
    Attempt.objects.create(run=run, number=number, outcome=outcome, **known | columns)


def test_the_page_tells_what_was_asked_for_and_what_came_of_it(ana: Client, make_run: MakeRun) -> None:
    run = make_run(
        "completed", payload={"to": "Zoë", "lines": [1, 2]}, result={"sent": True}, priority=7, tags=["vip", "order:7"]
    )

    text = page(ana.get(run_url(run)))

    assert f"<h1>mail.send #{run.pk}</h1>" in text
    assert "{\n  &quot;to&quot;: &quot;Zoë&quot;,\n  &quot;lines&quot;: [\n    1,\n    2\n  ]\n}" in text
    assert "{\n  &quot;sent&quot;: true\n}" in text
    assert "<dt>Priority</dt><dd>7</dd>" in text
    assert "<dt>Tags</dt><dd>vip, order:7</dd>" in text
    assert "Lease until" not in text


def test_each_attempt_has_its_outcome_its_worker_and_its_traceback(ana: Client, make_run: MakeRun) -> None:
    run = make_run("dead_lettered", reason="max_attempts", attempt=2, failures=2, error="ValueError: second")
    make_attempt(run, 1, error="ValueError: first", traceback='File "first.py", line 1')
    make_attempt(run, 2, "dead_lettered", error="ValueError: second", traceback='File "second.py", line 2')

    text = page(ana.get(run_url(run)))

    assert text.index("second.py") < text.index("first.py")
    assert text.count("<details><summary>Traceback</summary>") == 2
    assert "File &quot;first.py&quot;, line 1" in text
    assert "web-1:4411:abcd" in text
    assert ">2.0 s<" in text
    assert "failures: 2" in text


def test_only_the_latest_of_very_many_attempts_are_shown(ana: Client, make_run: MakeRun) -> None:
    run = make_run(attempt=60, snoozes=60)
    for number in range(1, 61):
        make_attempt(run, number, "snoozed")

    text = page(ana.get(run_url(run)))

    assert '<th scope="row">11</th>' in text
    assert '<th scope="row">10</th>' not in text
    assert "Earlier attempts are not shown." in text


def test_a_long_text_is_cut_and_says_so(ana: Client, make_run: MakeRun) -> None:
    run = make_run("completed", result="x" * 100_000)

    text = page(ana.get(run_url(run)))

    assert len(text) < 80_000
    assert "The first 50000 of 100002 characters." in text


def test_a_run_and_its_replay_link_to_each_other(ana: Client, make_run: MakeRun) -> None:
    old = make_run("dead_lettered", reason="max_attempts")
    new = operations.replay(old.pk, actor="bo")
    stranger = operations.replay(make_run("completed").pk, actor="bo")

    text = page(ana.get(run_url(old)))

    assert f'href="{run_url(new)}"' in text
    assert f'href="{run_url(stranger)}"' not in text
    assert f'href="{run_url(old)}"' in page(ana.get(run_url(new)))


def test_a_run_that_was_replayed_is_not_offered_for_replay_again(ana: Client, make_run: MakeRun) -> None:
    old = make_run("dead_lettered", reason="max_attempts")
    before = page(ana.get(run_url(old)))

    operations.replay(old.pk, actor="bo")

    assert f'href="{run_url(old, "replay")}"' in before
    assert f'href="{run_url(old, "replay")}"' not in page(ana.get(run_url(old)))


def test_the_page_tells_who_did_what_and_why(ana: Client, make_run: MakeRun) -> None:
    run = make_run("running")
    operations.cancel(run.pk, actor="bo", reason="wrong address")

    text = page(ana.get(run_url(run)))

    assert "asked to cancel" in text
    assert re.search(r">bo</td>\s*<td data-label=.Did.>cancel</td>", text)
    assert "wrong address" in text


def test_the_schedule_that_made_a_run_is_named(ana: Client, make_run: MakeRun) -> None:
    schedule = Schedule.objects.create(name="nightly", queue="mail", job="send")
    first = make_run(schedule=schedule, fires_at=timezone.now())
    second = make_run(schedule_id=schedule.pk + 1, fires_at=timezone.now())

    assert "<dt>Schedule</dt><dd>nightly</dd>" in page(ana.get(run_url(first)))
    assert f"<dt>Schedule</dt><dd>#{schedule.pk + 1}</dd>" in page(ana.get(run_url(second)))


def test_times_are_told_in_the_current_time_zone_and_in_utc(ana: Client, make_run: MakeRun, settings: Settings) -> None:
    settings.TIME_ZONE = "Asia/Tokyo"
    run = make_run(created_at=datetime(2026, 1, 2, 20, 30, 5, tzinfo=UTC))

    with timezone.override("Asia/Tokyo"):
        text = page(ana.get(run_url(run)))

    assert "2026-01-03 05:30:05 JST (20:30:05 UTC)" in text


def test_times_are_told_as_they_are_where_the_project_uses_local_time(
    ana: Client, make_run: MakeRun, settings: Settings
) -> None:
    settings.USE_TZ = False
    run = make_run("running")

    assert page(ana.get(RUNS))
    text = page(ana.get(run_url(run)))

    assert f"{run.created_at:%Y-%m-%d %H:%M:%S} <span" in text


@pytest.mark.parametrize(
    "run_id", ["0", "abc", "-1", "9" * 19, "9" * 30, "9" * 5000, "1.5", "%00", "_00", "a/b", "' OR 1=1"]
)
@pytest.mark.parametrize("verb", ["change", "replay", "cancel"])
def test_an_id_that_leads_nowhere_leads_to_the_list(ana: Client, run_id: str, verb: str) -> None:
    response = ana.get(run_url(run_id, verb))

    assert response.status_code == 302
    assert response["Location"] == RUNS
    [message] = told(response)
    assert message.startswith("There is no run ")


def test_a_run_of_another_namespace_is_not_there(ana: Client, make_run: MakeRun) -> None:
    run = make_run(namespace="staging")

    for verb in ["change", "replay", "cancel"]:
        assert ana.get(run_url(run, verb))["Location"] == RUNS


def test_the_page_takes_few_queries_however_much_there_is_to_tell(staff: Staff, make_run: MakeRun) -> None:
    run = make_run("dead_lettered", reason="max_attempts", attempt=20)
    for number in range(1, 21):
        make_attempt(run, number)
    for _ in range(20):
        operations.replay(run.pk, actor="bo", reason="again")
    client = staff("view_run", "replay_run", "cancel_run")

    with CaptureQueriesContext(connection) as queries:
        page(client.get(run_url(run)))

    assert len(queries) <= 8
    assert not any("COUNT(" in query["sql"] for query in queries)


def test_a_pending_run_says_why_it_waits_with_links_to_the_runs_that_it_waits_for(
    ana: Client, make_run: MakeRun
) -> None:
    holders = [make_run("running") for _ in range(8)]
    run = make_run()

    text = page(ana.get(run_url(run)))

    assert "Why is it waiting?" in text
    assert "Queue &#x27;mail&#x27; allows 8 at once, and 8 are running." in text
    for holder in holders:
        assert f'<a href="{run_url(holder)}">#{holder.pk}</a>' in text
    assert "No live worker works queue &#x27;mail&#x27;." in text
    assert "Why is it waiting?" not in page(ana.get(run_url(holders[0])))


def test_a_pending_run_that_nothing_holds_says_so(ana: Client, make_run: MakeRun) -> None:
    now = timezone.now()
    Worker.objects.create(name="web-1:1:a", queues=["mail"], concurrency=8, started_at=now, heartbeat_at=now)

    assert "Nothing holds it back: the next claim takes it" in page(ana.get(run_url(make_run())))


def test_why_a_run_waits_tells_no_secret(staff: Staff, make_run: MakeRun) -> None:
    run = make_run(payload={"password": "hunter22"}, blocked_on="key:/hunter22")

    text = page(staff("view_run").get(run_url(run)))

    assert "still parked there" in text
    assert "hunter22" not in text


def test_buttons_are_there_only_where_they_make_sense(ana: Client, make_run: MakeRun) -> None:
    ended, live = make_run("completed"), make_run("running")

    assert "/replay/" in page(ana.get(run_url(ended)))
    assert "/cancel/" not in page(ana.get(run_url(ended)))
    assert "/cancel/" in page(ana.get(run_url(live)))
    assert "/replay/" not in page(ana.get(run_url(live)))
