"""A project with USE_TZ = False: moments are what the clocks of TIME_ZONE show, and all happens at its time."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from django_jobqueue import operations, queues
from django_jobqueue.models import Activity, Run, Schedule
from tests.acceptance.conftest import StartWorker
from tests.acceptance.programs import Effects, WorkerProcess, wait_until

HOUR = timedelta(hours=1)

ADMIN = "/admin/django_jobqueue/"


@pytest.fixture(params=["America/Bogota", "Asia/Kathmandu"])
def zone(request: pytest.FixtureRequest, project: None, settings: Settings) -> str:
    """Where the project lives: west or east of UTC, and where no clock is ever shifted."""
    zone: str = request.param
    settings.USE_TZ, settings.TIME_ZONE = False, zone
    return zone


@pytest.fixture
def worker(start_worker: StartWorker, zone: str) -> WorkerProcess:
    module = {"DJANGO_SETTINGS_MODULE": "tests.acceptance.local_settings", "JOBQUEUE_TEST_TIME_ZONE": zone}
    return start_worker(environment=module).wait_until_ready()


def told(command: str, *arguments: str) -> str:
    output = StringIO()
    call_command(command, *arguments, stdout=output)
    return output.getvalue()


def is_near(moment: datetime | None) -> bool:
    """Whether it is in the right zone: the wrong ones are hours away."""
    return moment is not None and abs(moment - timezone.now()) < HOUR


@pytest.mark.slow
def test_without_time_zones_all_happens_at_its_time_and_a_crash_is_seen(
    worker: WorkerProcess, start_worker: StartWorker, effects: Effects
) -> None:
    start = timezone.now() + timedelta(seconds=1)
    soon = {
        queues.default.add("record").pk: start - timedelta(seconds=1),
        queues.default.add("record", delay_seconds=1).pk: start,
        queues.default.add("record", next_run_at=start).pk: start,
    }
    later = [queues.default.add("record", delay_seconds=3600), queues.default.add("record", next_run_at=start + HOUR)]
    hourly = operations.schedule_create("hourly", job="record", every_seconds=3600, starts_at=start, actor="ann")
    Schedule.objects.filter(last_run_at=None).update(next_run_at=start)  # also if that has gone by meanwhile
    ahead = operations.schedule_create("ahead", job="record", every_seconds=3600, starts_at=start + HOUR, actor="ann")

    effects.wait_for("start", 4)
    wait_until(lambda: Run.objects.ended().count() == 4, "the runs end")

    fired = Run.objects.get(schedule=hourly)
    assert (fired.fires_at, fired.missed) == (start, None)
    for run in Run.objects.ended():
        assert run.state == "completed"
        assert all(map(is_near, [run.created_at, run.started_at, run.finished_at]))
        assert run.started_at is not None
        assert run.started_at >= soon.get(run.pk, start)
    assert {run.pk for run in Run.objects.scheduled()} == {run.pk for run in later}
    hourly.refresh_from_db()
    ahead.refresh_from_db()
    assert (hourly.next_run_at, ahead.next_run_at) == (start + HOUR, start + HOUR)
    assert all(is_near(activity.created_at) for activity in Activity.objects.all())

    held = queues.default.add("hold")
    effects.wait_for("start", 5)
    worker.kill()
    start_worker(environment=worker.environment)
    effects.wait_for("start", attempt=2)
    effects.open_gate()
    wait_until(lambda: Run.objects.get(pk=held.pk).state == "completed", "the run is completed")


def test_without_time_zones_commands_tell_local_time(zone: str) -> None:
    start = timezone.now().replace(microsecond=0) + HOUR
    schedule = operations.schedule_create("hourly", job="record", every_seconds=3600, starts_at=start, actor="ann")
    queues.default.add("record", next_run_at=start)

    assert f"{start:%Y-%m-%d %H:%M:%S} (in " in told("showschedules")
    [row] = json.loads(told("showschedules", "--format", "json"))
    assert datetime.fromisoformat(row["next_run_at"]) == start.astimezone()
    assert f"{start:%Y-%m-%d} 09:30" in told("testcron", "30 9 * * *", "--after", f"{start:%Y-%m-%d}T09:00")
    run = Run.objects.get(pk=int(told("fireschedule", "hourly")))
    assert (run.schedule, run.fires_at) == (schedule, None)
    assert is_near(run.run_at)
    assert operations.schedule_skip_next("hourly", actor="ann").astimezone().replace(tzinfo=None) == start
    assert told("showjobs", "--runs", "--format", "json")
    assert f"{start:%H:%M:%S}" in told("showrun", str(Run.objects.scheduled().get().pk))


@pytest.mark.django_db
def test_without_time_zones_the_admin_shows_local_time(zone: str, client: Client) -> None:
    start = timezone.now().replace(microsecond=0, second=0) + HOUR
    client.force_login(User.objects.create_superuser("ana"))
    run = queues.default.add("record", next_run_at=start)
    given: dict[str, Any] = {"name": "hourly", "target": "default record", "every_seconds": "3600", "enabled": "on"}
    given |= {"misfire": "fire_once", "overlap": "allow", "payload": "{}", "starts_at": f"{start:%Y-%m-%dT%H:%M}"}

    preview = client.post(f"{ADMIN}schedule/add/", given | {"preview": "Preview"}).content.decode()
    client.post(f"{ADMIN}schedule/add/", given)
    operations.pause_queue("default", actor="ana", until=timezone.now() + HOUR)

    schedule = Schedule.objects.get()
    assert schedule.next_run_at == schedule.starts_at == start
    assert f"{start:%Y-%m-%d %H:%M:%S}" in preview
    pages = [
        "run/",
        f"run/{run.pk}/change/",
        "schedule/",
        f"schedule/{schedule.pk}/change/",
        "queuestate/",
        "activity/",
    ]
    shown = {page: client.get(ADMIN + page) for page in pages}
    assert {page: answer.status_code for page, answer in shown.items()} == dict.fromkeys(pages, 200)
    assert f"{start:%Y-%m-%d %H:%M:%S}" in shown[f"schedule/{schedule.pk}/change/"].content.decode()
    assert "0 s ago" not in shown["run/"].content.decode()
    client.post(f"{ADMIN}schedule/{schedule.pk}/skip/")
    schedule.refresh_from_db()
    assert schedule.next_run_at == start + HOUR
