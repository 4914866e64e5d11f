"""The page of limits shows how far each is used, and operators set others there, for a while or for good."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from django_jobqueue import job, operations
from django_jobqueue.models import Activity, LimitBucket, QueueState
from django_jobqueue.operations.key_figures import MOST_KEYS
from tests.admin.conftest import QUEUES, MakeRun, Staff, page, send, told

LIMITS = f"{QUEUES}mail/limits/"
SET = f"{QUEUES}mail/limit/"
SET_JOB = f"{QUEUES}mail/jobs/send/limit/"


@pytest.fixture(autouse=True)
def limits(shop: None, settings: Settings) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {"concurrent_jobs": 8, "rate_limit": "100/m"}}}
    job(queue="mail", name="send", concurrent_jobs=2)(send)
    job(queue="mail", name="post")(send)


def rows(client: Client) -> dict[str, Any]:
    return {row.job: row for row in client.get(LIMITS).context["rows"]}


def shown(client: Client, job: str) -> list[str]:
    return [cell.value for cell in rows(client)[job].cells]


def test_each_limit_is_shown_with_what_is_running_and_parked(ana: Client, make_run: MakeRun) -> None:
    for name, number in {"send": 2, "post": 1}.items():
        for _ in range(number):
            make_run("running", job=name)
    make_run("running", queue="reports", job="render")
    make_run(job="send", blocked_on="job:send")
    make_run(job="send")

    text = page(ana.get(LIMITS))

    assert shown(ana, "") == ["8", "-", "100/m"]
    assert shown(ana, "send") == ["2", "-", "-"]
    assert {name: (row.scope.running, row.parked) for name, row in rows(ana).items()} == {
        "": (3, "1"),
        "post": (1, "0"),
        "send": (2, "1"),
    }
    assert "?queue=mail&amp;state=running&amp;job=send" in text
    assert LIMITS in page(ana.get(QUEUES))


def test_a_rate_is_shown_with_the_tokens_that_it_has_left_and_the_time_of_the_next(
    ana: Client, settings: Settings
) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {"rate_limit": "1/d", "rate_burst": 3}}}
    job(queue="mail", name="call", rate_limit="5/m")(send)
    job(queue="mail", name="ring", rate_limit="5/m", rate_key="to")(send)
    now = timezone.now()
    bucket(key="rate:", tokens=1.48, updated_at=now)

    text = page(ana.get(LIMITS))

    tokens = {name: str(row.cells[2].tokens) for name, row in rows(ana).items()}
    assert "1 of 3 tokens left, one more <time" in tokens[""]
    assert ">in 12 h</time>" in tokens[""]
    assert tokens["call"] == "1 of 1 tokens left"
    assert tokens["ring"] == tokens["send"] == "None"
    assert "1 of 3 tokens left" in text


def test_keys_at_their_limit_are_shown_with_what_they_have_taken_and_who_waits(
    ana: Client, make_run: MakeRun, settings: Settings
) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {"concurrent_jobs_per_key": 2, "rate_limit": "1/h", "rate_key": "to"}}}
    job(queue="mail", name="send", concurrent_jobs_per_key=1)(send)
    for name, key in [("post", "a"), ("post", "a"), ("post", "b"), ("send", "c"), ("send", None)]:
        make_run("running", job=name, concurrency_key=key)
    make_run(job="post", blocked_on="key:/a", concurrency_key="a")
    for key, minutes in {"<tom>": 30, "late": 50, "over": -1}.items():
        bucket(key=f"rate:/{key}", tokens=0.0, next_at=timezone.now() + timedelta(minutes=minutes, seconds=5))
        make_run(job="post", blocked_on=f"rate:/{key}", rate_key=key)
    bucket(key="rate:", tokens=0.0, next_at=timezone.now() + timedelta(minutes=1))
    bucket(key="rate:send/gone", tokens=0.0, next_at=timezone.now() + timedelta(minutes=1))

    answer = ana.get(LIMITS)

    keys = [(row.job, row.key, row.figures.running, row.parked) for row in answer.context["keys"]]
    assert keys == [("", "a", 2, "1"), ("send", "c", 1, "0"), ("", "<tom>", None, "1"), ("", "late", None, "1")]
    assert [row.held for row in answer.context["keys"]][:2] == ["2 running", "1 running"]
    assert "no token, the next <time" in page(answer)
    assert "&lt;tom&gt;" in page(answer)


def test_of_many_keys_at_their_limit_the_first_are_shown(ana: Client, make_run: MakeRun, settings: Settings) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {"concurrent_jobs_per_key": 1}}}
    for number in range(MOST_KEYS + 1):
        make_run("running", job="post", concurrency_key=f"{number:02}")

    keys = ana.get(LIMITS).context["keys"]

    assert [row.key for row in keys] == [f"{number:02}" for number in range(MOST_KEYS)]


def test_nothing_is_said_of_keys_where_none_is_at_its_limit(ana: Client, make_run: MakeRun) -> None:
    make_run("running", job="post", concurrency_key="a")

    assert "Keys at their limit" not in page(ana.get(LIMITS))


def bucket(**fields: Any) -> None:
    now = timezone.now()
    LimitBucket.objects.create(queue="mail", **({"updated_at": now, "full_at": now + timedelta(hours=1)} | fields))


@pytest.mark.parametrize(("address", "name"), [(SET, ""), (SET_JOB, "send")])
def test_a_limit_is_set_with_a_reason_and_an_end_shown_and_recorded(
    ana: Client, settings: Settings, address: str, name: str
) -> None:
    settings.TIME_ZONE = "UTC"  # where clocks skip no hour
    until = timezone.now().replace(second=0, microsecond=0) + timedelta(hours=2, minutes=30)
    question = page(ana.get(address))
    answer = ana.post(
        address,
        {"limit": "concurrent_jobs", "value": "1", "until": f"{until:%Y-%m-%dT%H:%M}", "reason": "slow database"},
    )

    assert "Set a limit of mail" in question
    assert answer["Location"] == LIMITS
    assert told(answer) == ["At once is set."]
    state = QueueState.objects.get()
    assert (state.job, state.concurrent_jobs, state.concurrent_jobs_until) == (name, 1, until)
    cell = rows(ana)[name].cells[0]
    assert (cell.value, cell.declared) == ("1", "2" if name else "8")
    assert ">in 2 h</time>" in str(cell.ends)
    activity = Activity.objects.get()
    assert (activity.operation, activity.actor, activity.reason) == ("queues.set_limit", "ana", "slow database")


def test_an_empty_value_lets_a_limit_be_as_the_settings_say(ana: Client) -> None:
    operations.set_limit("mail", "rate_limit", "1/h", actor="bo")

    answer = ana.post(SET, {"limit": "rate_limit", "value": "", "reason": "over"})

    assert told(answer) == ["Rate is as the settings say."]
    assert shown(ana, "") == ["8", "-", "100/m"]
    assert Activity.objects.latest("pk").operation == "queues.clear_limit"


def test_an_override_that_is_over_is_not_shown(ana: Client) -> None:
    past = timezone.now() - timedelta(hours=1)
    QueueState.objects.create(queue="mail", concurrent_jobs=1, concurrent_jobs_until=past)

    cell = rows(ana)[""].cells[0]
    assert (cell.value, cell.declared) == ("8", None)


@pytest.mark.parametrize(
    "given",
    [
        {"limit": "concurrent_jobs", "value": "0"},
        {"limit": "concurrent_jobs", "value": "many"},
        {"limit": "concurrent_jobs", "value": "9" * 25},
        {"limit": "rate_limit", "value": "100 per minute"},
        {"limit": "sizes", "value": "1"},
        {"limit": "rate_limit", "value": "1/h", "until": "2001-01-01T00:00"},
    ],
    ids=lambda given: f"{given['limit']} {given['value'][:10]}",
)
def test_what_is_no_limit_is_asked_for_again(ana: Client, given: dict[str, str]) -> None:
    text = page(ana.post(SET, given))

    assert 'class="errorlist"' in text
    assert not QueueState.objects.exists()
    assert not Activity.objects.exists()


def test_a_job_is_paused_and_resumed_with_a_reason(ana: Client) -> None:
    paused = ana.post(f"{QUEUES}mail/jobs/send/pause/", {"reason": "wrong template"})
    text = page(ana.get(LIMITS))
    resumed = ana.post(f"{QUEUES}mail/jobs/send/resume/", {"reason": "mended"})
    again = ana.post(f"{QUEUES}mail/jobs/send/resume/", {})

    assert told(paused) == ["Job send of queue mail is paused."]
    assert paused["Location"] == LIMITS
    assert "by ana: wrong template" in text
    assert told(resumed) == ["Job send of queue mail is resumed."]
    assert told(again)[-1] == "Job send of queue mail was not paused. Nothing was changed."
    assert list(Activity.objects.order_by("pk").values_list("operation", flat=True)) == [
        "queues.pause_job",
        "queues.resume_job",
    ]


def test_the_way_back_leads_where_one_came_from(ana: Client) -> None:
    for address, back in [
        ("mail/pause/", QUEUES),
        ("mail/jobs/send/pause/", LIMITS),
        ("mail/jobs/send/resume/", LIMITS),
        ("mail/jobs/send/limit/", LIMITS),
    ]:
        assert f'<a class="button jq-back" href="{back}">' in page(ana.get(f"{QUEUES}{address}"))


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_that_a_job_cannot_work_is_told_to_whoever_pauses_it(ana: Client, broken: str, verb: str) -> None:
    answer = ana.post(f"{QUEUES}mail/jobs/broken/{verb}/", {})

    assert answer["Location"] == LIMITS
    assert [broken in text for text in told(answer)] == [True]
    assert not Activity.objects.exists()


def test_that_a_job_cannot_work_is_told_to_whoever_limits_it(ana: Client, broken: str) -> None:
    text = page(ana.post(f"{QUEUES}mail/jobs/broken/limit/", {"limit": "concurrent_jobs", "value": "1"}))

    assert broken in text
    assert not QueueState.objects.exists()


@pytest.fixture
def broken() -> str:
    """A job that cannot work; what is told of it."""
    job(queue="mail", name="broken", unique="live", unique_key="nowhere.to_be_found")(send)
    return "nowhere"


@pytest.mark.parametrize("address", [SET, SET_JOB])
def test_only_who_may_tune_queues_sets_limits(staff: Staff, address: str) -> None:
    client = staff("view_queuestate", "pause_queue")

    assert client.get(address).status_code == 403
    assert client.post(address, {"limit": "concurrent_jobs", "value": "1"}).status_code == 403
    assert "/limit/" not in page(client.get(LIMITS))
    assert not QueueState.objects.exists()


def test_only_who_may_see_queues_sees_their_limits(staff: Staff) -> None:
    assert staff("view_run").get(LIMITS).status_code == 403


@pytest.mark.parametrize("address", ["gone/limits/", "gone/limit/", "mail/jobs/gone/limit/", "mail/jobs/gone/pause/"])
def test_what_is_not_there_is_not_found(ana: Client, address: str) -> None:
    assert ana.get(f"{QUEUES}{address}").status_code == 404


def test_reading_changes_nothing_and_writing_is_no_reading(ana: Client) -> None:
    assert ana.post(LIMITS).status_code == 405
