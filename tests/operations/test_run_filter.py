"""A filter names runs by what is true of them, and refuses what can be true of none."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from django_jobqueue.errors import InvalidArgument
from django_jobqueue.models import Run
from django_jobqueue.operations.run_filter import STANDINGS, RunFilter
from tests.operations.conftest import row

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


def found(**given: Any) -> list[int]:
    return sorted(run.pk for run in RunFilter(**given).runs())


def saved(*runs: Run) -> list[int]:
    for run in runs:
        run.save(force_insert=True)
    return [run.pk for run in runs]


def test_an_empty_filter_names_all_runs_of_the_namespace() -> None:
    ids = saved(row(), row("completed"))
    saved(row(namespace="other"))

    assert found() == ids
    assert not RunFilter()


@pytest.mark.parametrize("given", [{"queue": "mail"}, {"states": ["failed"]}, {"since": timezone.now()}])
def test_a_filter_that_is_given_anything_is_true(given: dict[str, Any]) -> None:
    assert RunFilter(**given)


def test_all_that_is_given_must_be_true() -> None:
    wanted, *_ = saved(
        row("failed", error="SMTPError: 451"),
        row("failed", error="SMTPError: 451", queue="reports"),
        row("failed", error="SMTPError: 451", job="render"),
        row("failed", error="ValueError"),
        row("dead_lettered", error="SMTPError: 451"),
        row("failed", error="SMTPError: 451", reason="unknown_job"),
    )

    assert found(queue="mail", job="send", states=["failed"], reason="job_failed", error="smtperror") == [wanted]


def test_each_standing_has_its_runs() -> None:
    now = timezone.now()
    ids = saved(
        row(run_at=now - HOUR),
        row(run_at=now + HOUR),
        row(run_at=now - HOUR, failures=1),
        *map(row, ["running", "completed", "failed", "dead_lettered", "cancelled"]),
    )
    due, scheduled, retrying, running, completed, failed, dead_lettered, cancelled = ids

    assert {standing: found(states=[standing]) for standing in STANDINGS} == {
        "pending": [due, scheduled, retrying],
        "due": [due, retrying],
        "scheduled": [scheduled],
        "retrying": [retrying],
        "running": [running],
        "completed": [completed],
        "failed": [failed],
        "dead_lettered": [dead_lettered],
        "cancelled": [cancelled],
    }


def test_one_of_several_states_is_enough() -> None:
    failed, dead_lettered, completed, running = saved(
        *map(row, ["failed", "dead_lettered", "completed", "running"]),
    )

    assert found(states=["failed", "dead_lettered"]) == [failed, dead_lettered]
    assert found(states=("completed", "running")) == [completed, running]


@pytest.mark.parametrize("states", [[], ["completed"], ["failed", "completed"], ["failed"]])
def test_runs_are_listed_from_the_newest_down(states: list[str]) -> None:
    ids = saved(*map(row, ["failed", "completed", "failed", "completed"]))

    listed = [run.pk for run in RunFilter(states=states).newest_first()]

    assert listed == sorted(set(ids) & set(found(states=states)), reverse=True)


def test_since_and_until_mean_the_end_or_else_the_adding() -> None:
    now = timezone.now()
    old, ended_lately, added_lately, ended_now = saved(
        row("failed", created_at=now - 9 * HOUR, finished_at=now - 8 * HOUR),
        row("failed", created_at=now - 9 * HOUR, finished_at=now - HOUR),
        row(created_at=now - HOUR),
        row("failed", created_at=now - 9 * HOUR, finished_at=now),
    )

    assert found(since=now - 2 * HOUR) == [ended_lately, added_lately, ended_now]
    assert found(until=now - 2 * HOUR) == [old]
    assert found(since=now - 2 * HOUR, until=now) == [ended_lately, added_lately]


def test_tags_must_all_be_there() -> None:
    both, one, other, none = saved(
        row(tags=["vip", "é\"'%"]), row("failed", tags=["vip"]), row(tags=["VIP", "vi", "vip2"]), row()
    )

    assert found(tags=["vip"]) == [both, one]
    assert found(tags=("é\"'%", "vip")) == [both]
    assert found(tags={"vip"}, states=["failed", "completed"]) == [one]
    assert found(tags=["vi", "vip2"]) == [other]
    assert found(tags=[]) == [both, one, other, none]
    assert found(tags=["' OR 1=1 --"]) == []
    assert Run.objects.tagged().count() == 4
    assert [run.pk for run in Run.objects.tagged("vip").exclude(pk__in=Run.objects.tagged("vi"))] == [both, one]


# MySQL takes letters with and without an accent for the same.
@pytest.mark.parametrize(
    "text",
    ["100%", "a_b", "it's", "\\", pytest.param("é", marks=[pytest.mark.postgresql, pytest.mark.sqlite]), "' OR 1=1 --"],
)
def test_text_of_an_error_is_taken_literally(text: str) -> None:
    wanted, _ = saved(row("failed", error=f"Error: {text}!"), row("failed", error="Error: 100x axb its e 1"))

    assert found(error=text) == [wanted]


@pytest.mark.sqlite
@pytest.mark.parametrize("states", [["failed"], ["dead_lettered"], ["failed", "dead_lettered"]])
def test_bad_ends_are_found_by_their_index(states: list[str]) -> None:
    plan = RunFilter(queue="mail", states=states).runs().explain()

    assert "USING INDEX jobqueue_run_failed" in plan


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"states": "failed"}, "states: must be a list, got 'failed'."),
        ({"ids": "12"}, "ids: must be a list, got '12'."),
        ({"ids": 12}, "ids: must be a list, got 12."),
        ({"states": ["faild"]}, "state: 'faild' is not a state. Did you mean 'failed'?"),
        ({"states": ["failed", None]}, "state: None is not a state. Known: cancelled, completed, dead_lettered, due,"),
        ({"reason": "lots"}, "reason: 'lots' is not a reason. Did you mean 'lost'?"),
        ({"queue": ""}, "queue: must be text of 1 to 1000 characters, got ''."),
        ({"job": 7}, "job: must be text of 1 to 1000 characters, got 7."),
        ({"error": "a\0b"}, "error: must be text of 1 to 1000 characters, got 'a\\x00b'."),
        ({"error": "x" * 1001}, "error: must be text of 1 to 1000 characters, got 'xxx"),
        ({"since": datetime(2033, 1, 1)}, "since: must be an aware datetime, as timezone.now() gives it"),  # noqa: DTZ001
        ({"tags": "vip"}, "tags: must be a list of texts, got 'vip'."),
        ({"tags": [7]}, "tags: must be text of 1 to 64 printable characters, got 7."),
        ({"tags": ["x" * 65]}, "tags: must be text of 1 to 64 printable characters, got 'xxx"),
        ({"until": "yesterday"}, "until: must be an aware datetime, as timezone.now() gives it, got 'yesterday'."),
        ({"until": date(2033, 1, 1)}, "until: must be an aware datetime"),
    ],
)
def test_what_can_be_true_of_no_run_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        RunFilter(**given)

    assert told in str(caught.value)


def test_without_use_tz_moments_are_naive(settings: Settings) -> None:
    settings.USE_TZ = False

    with pytest.raises(InvalidArgument, match="since: must be a naive datetime"):
        RunFilter(since=datetime.now(tz=timezone.get_default_timezone()))
