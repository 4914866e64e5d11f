"""A real browser under a strict policy has nothing to complain of, on any page, in any colours, on any screen."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer

from django_jobqueue import operations
from django_jobqueue.models import Activity, Attempt, QueueState, Run, Schedule, Worker
from tests.admin.browser import PROGRAMS, Browser, browser, is_missing
from tests.admin.conftest import ACTIVITIES, QUEUES, RUNS, SCHEDULES, WORKERS, MakeRun, run_url

PASSWORD = "known to her alone"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        is_missing(), reason=f"needs {' and '.join(PROGRAMS)}: apt-get install chromium chromium-driver"
    ),
    pytest.mark.django_db(transaction=True),
]


@pytest.fixture
def ana(live_server: LiveServer) -> Iterator[Browser]:
    """A browser in which a superuser has logged in, by the form."""
    User.objects.create_superuser("ana", None, PASSWORD)
    with browser() as window:
        window.look(width=1280, dark=False)
        window.open(f"{live_server.url}/admin/")
        window.fill("#id_username", "ana")
        window.fill("#id_password", PASSWORD)
        window.follow("input[type=submit]")
        assert "Log out" in window.run("return document.body.textContent")
        yield window


@pytest.fixture
def dead(make_run: MakeRun) -> Run:
    """A run whose page has everything, among others of every kind."""
    now = timezone.now()
    for state, reason in [
        ("running", None),
        ("completed", "returned"),
        ("failed", "job_failed"),
        ("cancelled", "expired"),
    ]:
        make_run(state, reason=reason, concurrency_key="a-customer-of-a-rather-long-name")
    QueueState.objects.create(queue="mail", concurrent_jobs_per_key=1, rate_limit="100/h")
    for _ in range(60):
        make_run(run_at=now + timedelta(hours=1))
    run = make_run("dead_lettered", reason="max_attempts", error="ValueError: " + "x" * 500, attempt=1)
    Attempt.objects.create(
        run=run,
        number=1,
        worker="a-host-of-a-rather-long-name.example:4411:abcd1234",
        started_at=now,
        finished_at=now,
        outcome="dead_lettered",
        error="ValueError: " + "x" * 500,
        traceback='File "jobs.py", line 1, in send\n' * 20,
    )
    operations.replay(run.pk, actor="bo", reason="again")
    operations.pause_queue("reports", actor="bo", reason="outage", until=now + timedelta(hours=1))
    Worker.objects.create(name="web-1:1:a", queues=["mail"], concurrency=8, started_at=now, heartbeat_at=now)
    operations.schedule_create(
        "nightly", queue="mail", job="send", cron="30 2 * * *", timezone="Europe/Berlin", actor="bo", reason="night"
    )
    return run


def test_every_page_is_shown_without_a_complaint(ana: Browser, live_server: LiveServer, dead: Run) -> None:
    own = [run_url(dead), run_url(dead, "replay"), run_url(dead, "cancel"), QUEUES, f"{QUEUES}mail/pause/"]
    own += [f"{QUEUES}mail/limits/", f"{QUEUES}mail/limit/", f"{QUEUES}mail/jobs/send/limit/"]
    nightly = Schedule.objects.get()
    own += [f"{SCHEDULES}{nightly.pk}/{page}/" for page in ("change", "edit", "fire")] + [f"{SCHEDULES}add/"]
    pages = ["/admin/django_jobqueue/", RUNS, f"{RUNS}?state=pending&queue=mail", *own, WORKERS, SCHEDULES, ACTIVITIES]

    for width, dark in [(1280, False), (400, True)]:
        ana.look(width=width, dark=dark)
        for address in pages:
            ana.open(f"{live_server.url}{address}")

            assert ana.url == f"{live_server.url}{address}"
            assert ana.complaints() == [], address
            assert ana.run("return document.documentElement.scrollWidth <= window.innerWidth"), (address, width)
            loaded = "return [...document.styleSheets].some(sheet => sheet.href.endsWith('django_jobqueue/admin.css'))"
            assert ana.run(loaded) or address == pages[0]


def test_the_browser_does_complain_of_a_breach(ana: Browser, live_server: LiveServer, dead: Run) -> None:
    ana.open(f"{live_server.url}{QUEUES}")

    ana.run("document.body.innerHTML += '<p style=\"color: red\">inline</p>'")

    assert any("Content Security Policy" in message for message in ana.complaints())


def test_runs_are_chosen_confirmed_and_replayed_by_clicking(
    ana: Browser, live_server: LiveServer, dead: Run, make_run: MakeRun
) -> None:
    make_run("dead_lettered", reason="max_attempts")
    ana.open(f"{live_server.url}{RUNS}?state=dead_lettered")
    ana.click("#action-toggle")
    ana.click("option[value=replay_selected]")
    ana.follow("button[name=index]")
    question = ana.text
    ana.fill("textarea[name=reason]", "mailbox emptied")
    ana.follow(".jq-confirm input[type=submit]")

    assert "Replay 2 runs?" in question
    assert "1 run was replayed." in ana.text
    assert "1 run was replayed before." in ana.text
    assert ana.url == f"{live_server.url}{RUNS}?state=dead_lettered"
    assert ana.complaints() == []
    activity = Activity.objects.latest("pk")
    assert (activity.operation, activity.actor, activity.reason) == ("jobs.replay_many", "ana", "mailbox emptied")


def test_all_that_match_are_chosen_confirmed_and_cancelled_by_clicking(
    ana: Browser, live_server: LiveServer, dead: Run
) -> None:
    ana.open(f"{live_server.url}{RUNS}?state=scheduled")
    ana.click("#action-toggle")
    ana.click("span.question a")
    ana.click("option[value=cancel_selected]")
    chosen = ana.text
    ana.follow("button[name=index]")
    question = ana.text
    ana.follow(".jq-confirm input[type=submit]")

    assert "All matching runs are selected, on all pages." in chosen
    assert "Cancel 60 runs?" in question
    assert "60 runs were cancelled." in ana.text
    assert ana.url == f"{live_server.url}{RUNS}?state=scheduled"
    assert ana.complaints() == []
    assert not Run.objects.scheduled().exists()


def test_a_queue_is_paused_and_a_traceback_opened_by_clicking(ana: Browser, live_server: LiveServer, dead: Run) -> None:
    ana.open(f"{live_server.url}{run_url(dead)}")
    closed = ana.text
    ana.click("details summary")
    opened = ana.text
    ana.open(f"{live_server.url}{QUEUES}")
    ana.follow("a[href$='/mail/pause/']")
    ana.follow(".jq-confirm input[type=submit]")

    assert "jobs.py" not in closed
    assert "jobs.py" in opened
    assert "Queue mail is paused." in ana.text
    assert QueueState.objects.get(queue="mail").paused_at is not None
    assert ana.complaints() == []


def test_a_schedule_is_previewed_and_saved_by_clicking(ana: Browser, live_server: LiveServer, dead: Run) -> None:
    ana.open(f"{live_server.url}{SCHEDULES}add/")
    ana.fill("input[name=name]", "weekly")
    ana.fill("input[name=cron]", "30 2 * * sun")
    ana.fill("input[name=timezone]", "Europe/Berlin")
    ana.follow("input[name=preview]")
    previewed, existed = ana.text, Schedule.objects.filter(name="weekly").exists()
    ana.follow("input[name=save]")

    assert "clocks skip 02:30. It is due at 03:00 instead." in previewed
    assert not existed
    assert "Schedule weekly is made." in ana.text
    assert ana.complaints() == []
    assert Schedule.objects.get(name="weekly").cron == "30 2 * * sun"
