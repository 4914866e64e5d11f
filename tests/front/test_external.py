"""Runs of an external queue are added here, and worked by another deployment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core import checks
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from django_jobqueue import job, operations, queues
from django_jobqueue.engines import engine_for
from django_jobqueue.errors import InvalidRun, InvalidSchedule, PayloadError
from django_jobqueue.models import Run, Schedule
from django_jobqueue.operations.expiring import expire_some
from django_jobqueue.operations.purging import cleanups_of
from django_jobqueue.operations.schedule_sync import tend_schedules
from django_jobqueue.scheduler import Scheduler
from django_jobqueue.testing import drain, inline
from django_jobqueue.worker.leases import Leases
from django_jobqueue.worker.observer import Observer
from django_jobqueue.worker.reaper import BATCH, Reaper
from tests.front.conftest import send

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def reports(settings: Settings) -> None:
    """The queue ``reports`` is worked elsewhere."""
    settings.JOBQUEUE = {"queues": {"reports": {"external": True, "priority": 7}, "mail": {}}}


def test_any_job_with_any_json_can_be_added() -> None:
    run = queues.reports.add("monthly.sales:v2", {"month": 5, "run": 1, "payload": {"of": ["a"]}})
    [other] = queues.reports.bulk_add([{"job": "yearly"}])

    assert (run.job, run.payload, run.priority) == (
        "monthly.sales:v2",
        {"month": 5, "run": 1, "payload": {"of": ["a"]}},
        7,
    )
    assert Run.objects.get(pk=other).job == "yearly"


def test_what_code_here_says_of_a_job_of_that_name_does_not_matter() -> None:
    declared = job(queue="reports", name="monthly", priority=1)(exact)

    run = declared.add({"anything": True})

    assert (run.payload, run.priority) == ({"anything": True}, 7)


def exact(month: int) -> None:
    """A job with exact parameters."""


@pytest.mark.parametrize("name", ["", "no name", "1st", "../etc", "mäil", "a\n", "x" * 201, "'; DROP TABLE", None, 5])
def test_a_job_must_have_a_valid_name(name: Any) -> None:
    with pytest.raises(InvalidRun, match=r"^job: .* is not a valid name\. Use ASCII letters, digits"):
        queues.reports.add(name)

    assert not Run.objects.exists()


def test_a_payload_must_be_json() -> None:
    with pytest.raises(PayloadError, match=r'^payload\["month"\]: set is not JSON'):
        queues.reports.add("monthly", {"month": {5}})


@pytest.mark.parametrize(
    "option", ["concurrent_jobs", "batch_size", "lease_seconds", "run_on_startup", "jobs", "cleanup"]
)
def test_options_of_who_works_it_are_refused(settings: Settings, option: str) -> None:
    value: Any = {"jobs": {}, "cleanup": {}, "run_on_startup": True}.get(option, 5)
    settings.JOBQUEUE = {"queues": {"reports": {"external": True, option: value}}}

    [found] = checks.run_checks(tags=["jobqueue"])

    assert found.msg == (
        f'JOBQUEUE["queues"]["reports"]["{option}"]: not read, as whoever works an external queue decides'
    )


def test_it_cannot_be_scheduled_here(settings: Settings) -> None:
    schedules = {"nightly": {"queue": "reports", "job": "nightly", "cron": "0 3 * * *"}}
    settings.JOBQUEUE = settings.JOBQUEUE | {"schedules": schedules}

    found = [f"{message.msg}" for message in checks.run_checks(tags=["jobqueue"])]

    assert found == ["Schedule 'nightly': queue 'reports' is external. Declare it where it is worked."]


def test_no_schedule_of_it_can_be_made_here() -> None:
    with pytest.raises(
        InvalidSchedule, match=r"^queue: 'reports' is external\. Make the schedule where it is worked\.$"
    ):
        operations.schedule_create("nightly", queue="reports", job="nightly", cron="0 3 * * *", actor="ana")

    assert not Schedule.objects.exists()


# --- It is not worked here -------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_no_worker_here_works_it() -> None:
    job(queue="mail")(send)
    ours, theirs = queues.mail.add("send"), queues.reports.add("monthly")

    call_command("runjobs", "--drain", "--no-reload")
    with pytest.raises(CommandError, match=r"^Queue 'reports' is external: another deployment works it\.$"):
        call_command("runjobs", "reports", "--drain", "--no-reload")

    ours.refresh_from_db()
    theirs.refresh_from_db()
    assert (ours.state, theirs.state) == ("completed", "pending")


def test_a_test_that_drains_leaves_it_alone() -> None:
    run = queues.reports.add("monthly")

    assert drain() == []

    run.refresh_from_db()
    assert run.state == "pending"


def test_a_test_that_works_runs_at_once_leaves_it_alone() -> None:
    with inline():
        run = queues.reports.add("monthly")
        queues.reports.bulk_add([{"job": "monthly"}])

    assert run.state == "pending"
    assert {*Run.objects.values_list("state", "attempt")} == {("pending", 0)}


def test_a_test_that_replays_many_leaves_the_replays_alone() -> None:
    for _ in range(2):
        queues.reports.add("monthly")
    queues.reports.runs().cancel_pending()

    with inline():
        done = operations.replay_many(operations.RunFilter(states=["cancelled"]), actor="ana")

    assert done.replayed == 2
    assert [*Run.objects.exclude(replay_of=None).values_list("state", "attempt")] == [("pending", 0)] * 2


def test_what_a_job_here_adds_in_a_test_is_left_alone_too() -> None:
    @job(queue="mail")
    def ask() -> None:
        queues.reports.add("monthly")

    with inline():
        queues.mail.add("ask")

    assert {*Run.objects.values_list("queue", "state", "attempt")} == {
        ("mail", "completed", 1),
        ("reports", "pending", 0),
    }


def test_its_lost_runs_are_not_reaped_here_and_hide_no_others() -> None:
    job(queue="mail")(send)
    queues.reports.bulk_add([{"job": "monthly"}] * (BATCH + 5))
    queues.mail.add("send")
    for queue in ("reports", "mail"):
        engine_for("default").claim("default", queue, worker="gone", limit=BATCH + 5, lease_seconds=30)
    past = timezone.now() - timedelta(minutes=1)
    Run.objects.filter(queue="reports").update(lease_until=past - timedelta(hours=1))
    Run.objects.filter(queue="mail").update(lease_until=past)

    Reaper(Observer()).turn(Leases())

    assert {*Run.objects.values_list("queue", "state")} == {("reports", "running"), ("mail", "pending")}


@pytest.fixture
def schedule_of() -> Callable[..., Schedule]:
    """A schedule that its deployment has written, and that has been due since a while."""

    def schedule_of(queue: str, name: str, **columns: Any) -> Schedule:
        due = timezone.now() - timedelta(minutes=10)
        common = {"job": "send", "every_seconds": 3600, "counted_from": due, "next_run_at": due}
        return Schedule.objects.create(queue=queue, name=name, **(common | columns))

    return schedule_of


def test_its_schedules_are_not_fired_here_and_hide_no_others(schedule_of: Callable[..., Schedule]) -> None:
    job(queue="mail")(send)
    elsewhere = schedule_of("reports", "elsewhere")
    due = elsewhere.next_run_at

    with CaptureQueriesContext(connection) as queries:
        assert Scheduler().tick() == (0, None)
    assert len(queries) == 1
    schedule_of("mail", "here")
    fired, wait_seconds = Scheduler().tick()

    assert fired == 1
    assert wait_seconds == pytest.approx(3000, abs=60)
    assert [run.queue for run in Run.objects.all()] == ["mail"]
    elsewhere.refresh_from_db()
    assert elsewhere.next_run_at == due


def test_its_schedules_are_not_taken_for_removed_while_its_workers_are_away(
    schedule_of: Callable[..., Schedule],
) -> None:
    schedule_of("reports", "elsewhere", origin="code")
    schedule_of("mail", "here", origin="code")

    tend_schedules()

    assert {*Schedule.objects.values_list("name", "enabled")} == {("elsewhere", True), ("here", False)}


def test_its_runs_are_neither_expired_nor_purged_here() -> None:
    job(queue="mail")(send)
    for run in (queues.reports.add("monthly"), queues.mail.add("send")):
        Run.objects.filter(pk=run.pk).update(expires_at=timezone.now() - timedelta(minutes=1))

    expire_some()

    assert {*Run.objects.values_list("queue", "state")} == {("reports", "pending"), ("mail", "cancelled")}
    assert "reports" not in cleanups_of()
    assert "mail" in cleanups_of()
