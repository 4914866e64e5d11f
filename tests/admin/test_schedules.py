"""The pages of schedules: they show what will be and what was, and change it for those who may."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from django_jobqueue import job, operations
from django_jobqueue.admin.schedule_page import SKIPS
from django_jobqueue.models import Activity, Run, Schedule, Skip
from django_jobqueue.operations.schedule_sync import sync_schedules
from django_jobqueue.states import SkipReason
from tests.admin.conftest import SCHEDULES, MakeRun, Staff, fields, page, told

GIVEN = {
    "name": "nightly",
    "target": "mail send",
    "cron": "30 2 * * *",
    "timezone": "Europe/Berlin",
    "payload": '{"to": "bo"}',
    "misfire": "fire_once",
    "overlap": "allow",
    "enabled": "on",
    "reason": "He asked for it.",
}


def create(name: str = "nightly", **options: Any) -> Schedule:
    given = {"queue": "mail", "job": "send", "actor": "bo", "cron": "30 2 * * *", "timezone": "Europe/Berlin"}
    return operations.schedule_create(name, **(given | options))


@pytest.fixture
def declared(db: None) -> Schedule:
    """A schedule that code declares."""
    job(queue="mail", name="post", schedule="30 2 * * *")(lambda to="nobody": None)
    sync_schedules()
    return Schedule.objects.get(name="mail.post")


def url(schedule: Schedule, verb: str = "change") -> str:
    return f"{SCHEDULES}{schedule.pk}/{verb}/"


def text_of(html: str) -> str:
    return " ".join(re.sub("<[^>]+>", " ", html).split())


# --- The list and the page -------------------------------------------------------------------------------------------


def test_the_list_shows_when_each_is_due_and_what_came_of_the_last_time(ana: Client, make_run: MakeRun) -> None:
    nightly, off = create(), create("off", enabled=False)
    due, last = timezone.now() + timedelta(hours=5, minutes=30), make_run("dead_lettered", reason="max_attempts")
    Schedule.objects.filter(pk=nightly.pk).update(next_run_at=due, last_run=last)
    Schedule.objects.filter(pk=off.pk).update(skip_reason="overlap", skipped=3)

    text = text_of(page(ana.get(SCHEDULES)))

    assert "nightly ● enabled 30 2 * * * (Europe/Berlin) mail.send in 5 h ▲ dead-lettered" in text
    assert "off ‖ disabled 30 2 * * * (Europe/Berlin) mail.send - no run: the last run was not over (3 times)" in text


@pytest.mark.parametrize("reason", list(SkipReason))
def test_each_reason_that_made_no_run_is_told_in_words(ana: Client, reason: SkipReason) -> None:
    schedule, now = create(), timezone.now()
    Schedule.objects.update(skip_reason=reason, skipped=1)
    Skip.objects.create(schedule=schedule, first_at=now, last_at=now, number=1, reason=reason)

    [turn] = ana.get(url(schedule)).context["page"].history
    assert turn.note == SKIPS[reason]
    assert f"no run: {SKIPS[reason]} " in text_of(page(ana.get(SCHEDULES)))


def test_the_page_tells_what_a_schedule_says_and_nothing_else(ana: Client) -> None:
    facts = dict(ana.get(url(create())).context["page"].facts)

    assert facts == {
        "Job": "mail.send",
        "Due": "30 2 * * * (Europe/Berlin)",
        "Next": facts["Next"],
        "If no worker looked in time": "one run for all missed due times",
        "If the last run is not over": "another run",
        "Declared in": "database",
    }
    catches_up = create("catches_up", misfire="catch_up", max_catch_up=7, tags=["night", "mail"])
    more = dict(ana.get(url(catches_up)).context["page"].facts)
    assert more["If no worker looked in time"] == "one run for each missed due time, 7 at most"
    assert more["Tags"] == "night, mail"


def test_the_page_names_the_function_that_makes_the_payload(ana: Client) -> None:
    schedule = create()
    Schedule.objects.update(payload_function="shop.payloads.yesterday")

    assert ana.get(url(schedule)).context["page"].payload == "shop.payloads.yesterday()"


def test_the_page_of_a_schedule_that_is_over_says_so(ana: Client) -> None:
    soon = timezone.now() + timedelta(hours=1)
    schedule = create(cron=None, timezone=None, every_seconds=3600, starts_at=soon, ends_at=soon)
    preview = ana.get(url(schedule)).context["page"].preview
    assert len(preview.due) == 1
    assert "It is not due again." not in preview.warnings

    operations.schedule_skip_next(schedule.name, actor="bo")
    assert ana.get(url(schedule)).context["page"].preview is None


def test_a_form_whose_times_are_over_says_so(ana: Client) -> None:
    text = page(ana.post(f"{SCHEDULES}add/", GIVEN | {"ends_at": "2020-01-01T00:00", "preview": "Preview"}))

    assert "It is not due again." in text


def test_the_preview_begins_after_what_is_accounted_for(ana: Client) -> None:
    schedule = create(cron=None, timezone=None, every_seconds=3600)
    operations.schedule_skip_next(schedule.name, actor="bo")

    schedule.refresh_from_db()
    [(first, *_), *_] = ana.get(url(schedule)).context["page"].preview.due
    assert schedule.next_run_at is not None
    assert first == f"{timezone.localtime(schedule.next_run_at):%a %Y-%m-%d %H:%M:%S %Z}"


def test_the_list_takes_as_many_queries_for_many_as_for_one(ana: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as found:
            page(ana.get(SCHEDULES))
        return len(found)

    create()
    one = queries()
    for number in range(10):
        create(f"s{number}")

    assert queries() == one


def test_the_page_shows_the_next_five_due_times_and_warns_of_daylight_saving(ana: Client) -> None:
    text = page(ana.get(url(create())))

    assert len(re.findall(r"<li>\w{3} \d{4}-\d\d-\d\d 0[23]:\d0:00 CES?T", text)) == 5
    assert "clocks skip 02:30. It is due at 03:00 instead." in text
    assert "clocks show 02:30 twice. It is due the first time only." in text


def test_the_page_shows_runs_and_due_times_that_made_none(ana: Client, make_run: MakeRun) -> None:
    schedule, now = create(), timezone.now()
    first = make_run("completed", schedule=schedule, fires_at=now - timedelta(hours=3), missed=2)
    second = make_run(schedule=schedule)
    for hours, reason, error in [(2, "overlap", None), (1, "refused", "no such job")]:
        at = now - timedelta(hours=hours)
        Skip.objects.create(schedule=schedule, first_at=at, last_at=at, number=hours, reason=reason, error=error)

    turns = ana.get(url(schedule)).context["page"].history

    assert [(turn.run and turn.run.pk, turn.note.partition(" since ")[0]) for turn in turns] == [
        (second.pk, "fired by hand"),
        (None, "refused: no such job"),
        (None, "the last run was not over: 2 due times"),
        (first.pk, "also stands for 2 missed ones"),
    ]
    assert f"/run/{first.pk}/change/" in page(ana.get(url(schedule)))


def test_runs_are_for_those_who_may_see_them(staff: Staff, make_run: MakeRun) -> None:
    schedule = create()
    make_run(schedule=schedule, fires_at=timezone.now())

    assert staff("view_schedule").get(url(schedule)).context["page"].history == []


def test_secrets_of_a_payload_are_for_those_who_may_see_them(staff: Staff, settings: Settings) -> None:
    schedule = create(queue="reports", job="render", payload={"password": "hunter2", "year": 2027})

    hidden = page(staff("view_schedule", "change_schedule").get(url(schedule)))
    form = page(staff("view_schedule", "change_schedule", name="kim").get(url(schedule, "edit")))
    shown = page(staff("view_schedule", "view_payload", name="pat").get(url(schedule)))

    assert "hunter2" not in hidden + form
    assert "2027" in hidden
    assert "hunter2" in shown


def test_the_page_of_a_declared_schedule_shows_what_was_changed(ana: Client, declared: Schedule) -> None:
    operations.schedule_edit(declared.name, cron="0 4 * * *", actor="bo", reason="The backup takes longer.")

    text = text_of(page(ana.get(url(declared))))

    assert "Override of cron 0 4 * * * declared: 30 2 * * *" in text
    assert "The backup takes longer." in text
    assert "Reset" in text


def test_a_row_that_somebody_has_broken_is_shown_with_what_is_wrong(ana: Client) -> None:
    schedule = create()
    Schedule.objects.update(cron="61 * * * *")

    assert "is not from 0 to 59" in page(ana.get(url(schedule)))


# --- The form --------------------------------------------------------------------------------------------------------


def test_the_form_previews_the_next_five_due_times_and_saves_nothing(ana: Client) -> None:
    text = page(ana.post(f"{SCHEDULES}add/", GIVEN | {"preview": "Preview"}))

    assert len(re.findall(r"<li>\w{3} \d{4}-\d\d-\d\d 0[23]:\d0:00 CES?T", text)) == 5
    assert "clocks skip 02:30. It is due at 03:00 instead." in text
    assert 'value="30 2 * * *"' in text
    assert not Schedule.objects.exists()


def test_the_form_makes_a_schedule(ana: Client) -> None:
    answer = ana.post(f"{SCHEDULES}add/", GIVEN | {"priority": "5", "starts_at": "2030-01-01T00:00"})

    made = Schedule.objects.get()
    assert answer["Location"] == url(made)
    assert told(answer) == ["Schedule nightly is made."]
    assert (made.cron, made.timezone, made.payload, made.priority) == (
        "30 2 * * *",
        "Europe/Berlin",
        {"to": "bo"},
        5,
    )
    assert made.starts_at is not None
    assert (f"{timezone.localtime(made.starts_at):%Y-%m-%dT%H:%M}", made.origin) == ("2030-01-01T00:00", "database")
    activity = Activity.objects.get()
    assert (activity.operation, activity.actor, activity.reason) == ("jobs.schedule.create", "ana", "He asked for it.")


@pytest.mark.parametrize("button", ["save", "preview"])
@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"cron": "61 * * * *"}, "is not from 0 to 59"),
        ({"cron": "0 0 30 2 *"}, "is never due"),
        ({"cron": ""}, "either cron or every_seconds"),
        ({"every_seconds": "60"}, "either cron or every_seconds"),
        ({"timezone": "Mars/Base"}, "is not a time zone"),
        ({"starts_at": "2030-02-01T00:00", "ends_at": "2030-01-01T00:00"}, "is before starts_at"),
        ({"payload": "{"}, "valid JSON"),
        ({"priority": "101"}, "must be a whole number from -100 to 100"),
        ({"target": "mail sned"}, "Select a valid choice"),
    ],
)
def test_the_form_says_what_is_wrong_beside_what_was_typed(
    ana: Client, given: dict[str, str], problem: str, button: str
) -> None:
    text = page(ana.post(f"{SCHEDULES}add/", GIVEN | given | {button: "x"}))

    assert problem in text
    assert 'value="nightly"' in text
    assert not Schedule.objects.exists()


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"name": "0 bad"}, "is not a valid name"),
        ({"payload": '{"too": "bo"}'}, "Did you mean"),
        ({"payload": "[1]"}, "must be a mapping"),
        ({"ends_at": "2020-01-01T00:00"}, "would never be due"),
    ],
)
def test_what_the_operation_refuses_is_told_too(ana: Client, given: dict[str, str], problem: str) -> None:
    assert problem in page(ana.post(f"{SCHEDULES}add/", GIVEN | given))
    assert not Schedule.objects.exists()


def test_the_reason_is_asked_for_last(ana: Client) -> None:
    assert list(ana.get(f"{SCHEDULES}add/").context["form"].fields)[-2:] == ["enabled", "reason"]


@pytest.fixture
def even_clocks(settings: Settings) -> None:
    """The project lives where no hour comes twice, as a form could not tell which is meant."""
    settings.TIME_ZONE = "UTC"


@pytest.mark.usefixtures("even_clocks")
def test_a_form_that_nobody_touched_changes_nothing(ana: Client) -> None:
    start = timezone.now() + timedelta(days=3, seconds=1)
    end = start + timedelta(days=3)
    schedule = create(cron=None, timezone=None, every_seconds=5400, starts_at=start, ends_at=end)

    answer = ana.post(url(schedule, "edit"), fields(ana.get(url(schedule, "edit"))))

    assert answer["Location"] == url(schedule), page(answer)
    same = Schedule.objects.get()
    assert (same.starts_at, same.ends_at, same.next_run_at) == (start, end, schedule.next_run_at)
    assert [activity.operation for activity in Activity.objects.all()] == ["jobs.schedule.create"]


@pytest.mark.usefixtures("even_clocks")
def test_a_schedule_is_edited_and_only_what_was_changed_is(ana: Client) -> None:
    start = timezone.now().replace(second=37) + timedelta(days=3)
    schedule = create(payload={"to": "bo"}, starts_at=start)
    form = fields(ana.get(url(schedule, "edit")))

    answer = ana.post(url(schedule, "edit"), form | {"payload": '{"to": "ann"}'})

    assert answer["Location"] == url(schedule), page(answer)
    assert told(answer) == ["Schedule nightly is changed."]
    edited = Schedule.objects.get()
    assert (edited.payload, edited.cron, edited.starts_at) == ({"to": "ann"}, "30 2 * * *", start)
    assert Activity.objects.latest("pk").detail == {"payload": [{"to": "bo"}, {"to": "ann"}]}


@pytest.mark.usefixtures("even_clocks")
def test_a_start_is_said_to_the_second(ana: Client) -> None:
    start = timezone.localtime().replace(second=37, microsecond=0) + timedelta(days=3)
    schedule = create()
    form = fields(ana.get(url(schedule, "edit")))

    ana.post(url(schedule, "edit"), form | {"starts_at": f"{start:%Y-%m-%dT%H:%M:%S}"})

    assert Schedule.objects.get().starts_at == start
    assert 'step="1"' in page(ana.get(url(schedule, "edit")))


def test_of_a_declared_schedule_the_form_asks_only_what_can_be_changed(ana: Client, declared: Schedule) -> None:
    form = ana.get(url(declared, "edit")).context["form"]
    assert set(form.fields) == {"cron", "timezone", "every_seconds", "enabled", "reason"}

    ana.post(url(declared, "edit"), {"every_seconds": "90", "enabled": "on"})

    declared.refresh_from_db()
    assert declared.overrides == {"cron": None, "every_seconds": 90}


# --- Verbs and permissions -------------------------------------------------------------------------------------------


def test_each_verb_is_confirmed_done_and_recorded(ana: Client) -> None:
    schedule = create()
    before = schedule.next_run_at

    for verb, question, sentence in [
        ("fire", "Fire schedule nightly now?", "made run"),
        ("skip", "Skip the next due time of schedule nightly?", "makes no run for"),
        ("disable", "Disable schedule nightly?", "is disabled"),
        ("enable", "Enable schedule nightly?", "is enabled"),
    ]:
        assert question in text_of(page(ana.get(url(schedule, verb))))
        answer = ana.post(url(schedule, verb), {"reason": f"to {verb}"})
        assert sentence in told(answer)[0]
        assert answer["Location"] == url(schedule)

    schedule.refresh_from_db()
    assert Run.objects.get().schedule == schedule
    assert schedule.next_run_at is not None
    assert before is not None
    assert schedule.next_run_at > before
    assert [activity.reason for activity in Activity.objects.order_by("pk")][1:] == [
        "to fire",
        "to skip",
        "to disable",
        "to enable",
    ]
    answer = ana.post(url(schedule, "delete"))
    assert answer["Location"] == SCHEDULES
    assert not Schedule.objects.exists()


def test_an_override_is_reset(ana: Client, declared: Schedule) -> None:
    operations.schedule_edit(declared.name, cron="0 4 * * *", actor="bo")

    ana.post(url(declared, "reset"))

    declared.refresh_from_db()
    assert (declared.cron, declared.overrides) == ("30 2 * * *", {})


def test_firing_a_unique_job_whose_run_waits_is_told_and_not_recorded(ana: Client) -> None:
    job(queue="mail", name="once", unique="live")(lambda: None)
    schedule = create(job="once")
    ana.post(url(schedule, "fire"))

    answer = ana.post(url(schedule, "fire"))

    assert f"is unique, and run {Run.objects.get().pk} has the same key" in told(answer)[-1]
    assert Activity.objects.filter(operation="jobs.schedule.fire_now").count() == 1


def test_what_cannot_be_done_is_told(ana: Client, declared: Schedule) -> None:
    answer = ana.post(url(declared, "delete"))

    assert "Remove it there, or disable it." in told(answer)[0]
    assert Schedule.objects.exists()


@pytest.mark.parametrize(
    ("verb", "permission"),
    [
        ("edit", "change_schedule"),
        ("fire", "fire_schedule"),
        ("skip", "change_schedule"),
        ("disable", "change_schedule"),
        ("delete", "delete_schedule"),
    ],
)
def test_a_verb_without_its_permission_is_neither_offered_nor_done(staff: Staff, verb: str, permission: str) -> None:
    schedule = create()
    others = {"change_schedule", "fire_schedule", "delete_schedule", "add_schedule"} - {permission}
    client = staff("view_schedule", *others)
    allowed = staff("view_schedule", permission, name="kim")

    assert f"/{verb}/" not in page(client.get(url(schedule)))
    assert {client.get(url(schedule, verb)).status_code, client.post(url(schedule, verb)).status_code} == {403}
    assert f"/{verb}/" in page(allowed.get(url(schedule)))
    assert allowed.get(url(schedule, verb)).status_code == 200
    assert Schedule.objects.get().enabled


def test_a_new_schedule_needs_its_permission(staff: Staff) -> None:
    client = staff("view_schedule", "change_schedule")

    assert "/add/" not in page(client.get(SCHEDULES))
    assert {client.get(f"{SCHEDULES}add/").status_code, client.post(f"{SCHEDULES}add/", GIVEN).status_code} == {403}
    assert "/add/" in page(staff("view_schedule", "add_schedule", name="kim").get(SCHEDULES))
    assert not Schedule.objects.exists()


def test_nothing_is_done_by_a_look_or_by_a_form_of_another_site(ana: Client, staff: Staff) -> None:
    schedule = create()
    strict = staff("view_schedule", "change_schedule", "fire_schedule", enforce_csrf_checks=True)

    for verb in ["fire", "skip", "disable", "delete"]:
        ana.get(url(schedule, verb) + "?reason=x&confirmed=yes")
        assert strict.post(url(schedule, verb)).status_code == 403

    assert Activity.objects.count() == 1
    assert not Run.objects.exists()


@pytest.mark.parametrize("pk", ["0", str(2**63), str(10**30)])
def test_a_schedule_that_there_is_not_is_not_found(ana: Client, pk: str) -> None:
    assert ana.get(f"{SCHEDULES}{pk}/edit/").status_code == 404
    assert ana.post(f"{SCHEDULES}{pk}/fire/").status_code == 404


def test_the_schedule_of_another_namespace_is_not_found(ana: Client) -> None:
    schedule = create()
    Schedule.objects.update(namespace="staging")

    assert ana.get(url(schedule)).status_code == 404
    assert ana.post(url(schedule, "fire")).status_code == 404
