"""Workers, schedules, activities; and our pages on a second admin site."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from django_jobqueue import operations
from django_jobqueue.admin import activities
from django_jobqueue.models import Activity, Run, Worker
from django_jobqueue.operations.schedule_sync import SYNC
from tests.admin.conftest import ACTIVITIES, VIEWS, WORKERS, MakeRun, Staff, page, run_url
from tests.operations.test_recording import RECORDED, RECORDED_AS


def test_workers_are_alive_or_lost_by_their_heartbeat(ana: Client, settings: Settings) -> None:
    settings.JOBQUEUE = {"worker": {"lease_seconds": 2 * 3600}}
    now = timezone.now()
    for name, hours in [("web-1:4411:abcd", 1.5), ("web-2:90:ffee", 3.5)]:
        seen = now - timedelta(hours=hours)
        Worker.objects.create(
            name=name,
            queues=["mail"],
            concurrency=8,
            running=3,
            started_at=now - timedelta(days=2.5),
            heartbeat_at=seen,
        )

    text = page(ana.get(WORKERS))

    assert text.index("web-1:4411:abcd") < text.index(" alive") < text.index("web-2:90:ffee") < text.index(" lost")
    assert "1 h ago" in text
    assert "3 h ago" in text
    assert "2 d ago" in text
    assert "3 / 8" in text


def test_a_worker_shows_its_queues_and_in_how_many_slots_it_works_each(ana: Client) -> None:
    now = timezone.now()
    queues, slots = ["mail", "default"], {"mail": 4}
    Worker.objects.create(name="1", queues=queues, slots=slots, concurrency=8, started_at=now, heartbeat_at=now)

    assert "mail:4, default" in page(ana.get(WORKERS))


def test_activities_are_listed_newest_first_with_who_and_why(ana: Client, make_run: MakeRun) -> None:
    run = make_run()
    operations.cancel(run.pk, actor="bo", reason="wrong address")
    operations.pause_queue("reports", actor="cy", reason="outage")

    text = page(ana.get(ACTIVITIES))

    assert text.index("outage") < text.index("wrong address")
    assert f'<a href="{run_url(run)}">run {run.pk}</a> (mail)' in text
    assert "outage" not in page(ana.get(f"{ACTIVITIES}?operation=jobs.cancel"))


def test_what_was_done_to_what_is_said_in_words(ana: Client, make_run: MakeRun) -> None:
    make_run(), make_run("running"), make_run("completed")
    operations.set_limit("mail", "concurrent_jobs", 3, actor="bo")
    operations.clear_limit("mail", "concurrent_jobs", actor="bo")
    operations.pause_job("mail", "send", actor="bo")
    operations.cancel_many(operations.RunFilter(queue="mail"), actor="bo")
    operations.replay_many(operations.RunFilter(states=["completed"]), actor="bo")

    text = page(ana.get(ACTIVITIES))

    for did, to in [
        ("set limit", "mail: concurrent_jobs = 3"),
        ("clear limit", "mail: concurrent_jobs"),
        ("pause job", "mail.send"),
        ("cancel many", "mail: 1 cancelled, 1 asked to cancel"),
        ("replay many", "1 replayed"),
    ]:
        assert f'<td class="field-verb">{did}</td><td class="field-subject">{to}</td>' in text


def test_every_operation_that_is_recorded_has_a_word() -> None:
    assert {RECORDED_AS.get(key, key) for key in RECORDED} | {SYNC} == set(activities.OPERATIONS)


def test_the_list_of_activities_never_counts(ana: Client) -> None:
    for _ in range(120):
        operations.pause_queue("mail", actor="bo")

    with CaptureQueriesContext(connection) as queries:
        first = ana.get(ACTIVITIES)
    second = ana.get(ACTIVITIES + first.context["cl"].older_url)

    assert not any("COUNT(" in query["sql"] and "activity" in query["sql"] for query in queries)
    ids = [item.pk for response in (first, second) for item in response.context["cl"].result_list]
    assert ids == list(Activity.objects.order_by("-pk").values_list("pk", flat=True)[:100])


@pytest.mark.parametrize("address", [WORKERS, ACTIVITIES])
def test_these_pages_are_for_reading_only(ana: Client, address: str) -> None:
    now = timezone.now()
    Worker.objects.create(name="1", queues=[], concurrency=1, started_at=now, heartbeat_at=now)
    Activity.objects.create(pk=1, operation="jobs.cancel", actor="bo", created_at=now)

    assert ana.get(f"{address}add/").status_code == 403
    assert ana.post(f"{address}1/change/", {"name": "x"}).status_code == 403
    assert ana.post(f"{address}1/delete/", {"post": "yes"}).status_code == 403
    assert "delete_selected" not in page(ana.get(address))


@pytest.mark.parametrize("right", VIEWS)
def test_each_page_needs_its_permission(staff: Staff, right: str) -> None:
    client = staff(right)
    others = staff(*(name for name in VIEWS if name != right), name="tom")
    address = f"/admin/django_jobqueue/{right.removeprefix('view_')}/"

    assert client.get(address).status_code == 200
    assert others.get(address).status_code == 403


def test_our_pages_stay_on_the_site_that_shows_them(ana: Client, make_run: MakeRun) -> None:
    run = make_run("completed")
    site = "/operations/django_jobqueue/"

    listed = page(ana.get(f"{site}run/"))
    shown = page(ana.get(f"{site}run/{run.pk}/change/"))
    queue_page = page(ana.get(f"{site}queuestate/"))
    replayed = ana.post(f"{site}run/{run.pk}/replay/")
    paused = ana.post(f"{site}queuestate/mail/pause/")

    new = Run.objects.exclude(replay_of=None).get()
    assert f'href="{site}run/{run.pk}/change/"' in listed
    assert f'href="{site}run/{run.pk}/replay/"' in shown
    assert f'href="{site}queuestate/mail/pause/"' in queue_page
    assert replayed["Location"] == f"{site}run/{new.pk}/change/"
    assert paused["Location"] == f"{site}queuestate/"
    for text in [listed, shown, queue_page]:
        assert "/admin/django_jobqueue" not in text


def test_the_pages_register_on_the_project_s_own_site() -> None:
    names = {model._meta.object_name for model in admin.site._registry if model._meta.app_label == "django_jobqueue"}

    assert names == {"Activity", "QueueState", "Run", "Schedule", "Worker"}
