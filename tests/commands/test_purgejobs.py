"""``purgejobs``."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError
from django.utils import timezone

from django_jobqueue.management import progress
from django_jobqueue.management.command import operator
from django_jobqueue.models import Activity, Run
from django_jobqueue.queue import Queue
from tests.commands.conftest import Terminal, command

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def runs(mail: Queue) -> None:
    """Two completed runs, and a failed one, that ended long ago; and one that ended just now."""
    for state, reason, days in [
        ("completed", "returned", 99),
        ("completed", "returned", 99),
        ("failed", "job_failed", 99),
        ("completed", "returned", 0),
    ]:
        then = timezone.now() - timedelta(days=days)
        moments = {"run_at": then, "created_at": then, "finished_at": then}
        Run.objects.create(queue="mail", job="send", state=state, reason=reason, **moments)


def test_what_is_over_is_purged_and_counted() -> None:
    told = command("purgejobs", "--reason", "disk is full")

    assert [line.split() for line in told.lines] == [
        ["runs", "purged"],
        ["completed", "2"],
        ["failed", "1"],
        ["dead-lettered", "0"],
        ["cancelled", "0"],
        ["all", "3"],
    ]
    assert Run.objects.count() == 1
    activity = Activity.objects.get()
    assert (activity.operation, activity.actor, activity.reason) == ("jobs.purge", operator(), "disk is full")


def test_a_dry_run_says_what_would_be_purged() -> None:
    told = command("purgejobs", "--dry-run")

    assert told.lines[0].split() == ["runs", "would", "be", "purged"]
    assert told.lines[-1].split() == ["all", "3"]
    assert Run.objects.count() == 4


@pytest.mark.parametrize(
    ("arguments", "purged"),
    [
        ([], {"completed": 2, "failed": 1}),
        (["mail"], {"completed": 2, "failed": 1}),
        (["default"], {"completed": 0, "failed": 0}),
        (["--completed-after", "0"], {"completed": 3, "failed": 1}),
        (["--failed-after=100d", "--completed-after=100d"], {"completed": 0, "failed": 0}),
    ],
)
def test_a_program_gets_json(arguments: list[str], purged: dict[str, int]) -> None:
    told = command("purgejobs", *arguments, "--format", "json")

    assert json.loads(told.out) == purged | {"dead_lettered": 0, "cancelled": 0, "dry_run": False}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["mial"], "'mial' is not a queue. Did you mean 'mail'?"),
        (["--completed-after", "soon"], "argument --completed-after: must be a duration such as 90"),
        (["--failed-after=-1"], "argument --failed-after: must be a duration such as 90"),
    ],
)
def test_what_cannot_be_is_refused_and_purges_nothing(arguments: list[str], told: Any) -> None:
    with pytest.raises(CommandError) as caught:
        command("purgejobs", *arguments)

    assert told in str(caught.value)
    assert Run.objects.count() == 4


def test_a_program_gets_csv() -> None:
    assert command("purgejobs", "--format=csv").lines == [
        "completed,failed,dead_lettered,cancelled,dry_run",
        "2,1,0,0,False",
    ]


def test_who_wants_silence_gets_it() -> None:
    assert command("purgejobs", "-v", "0") == ("", "")
    assert Run.objects.count() == 1


def test_progress_is_told_to_who_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0)

    assert "So far: 3 would be purged.\n" in command("purgejobs", "--dry-run", "-v", "2").err
    assert "So far: 3 purged.\n" in command("purgejobs", "-v", "2").err


@pytest.mark.parametrize("arguments", [["--completed-after=0"], ["mail", "--failed-after=1d"]])
def test_a_person_is_asked_before_it_purges_earlier_than_the_queue_says(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    with pytest.raises(CommandError, match=r"^Nothing was changed\.$"):
        command("purgejobs", *arguments)
    left = Run.objects.count()

    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    told = command("purgejobs", *arguments)

    assert left == 4
    assert "earlier or later than their queue says? [y/N] " in told.err
    assert Run.objects.count() < 4


@pytest.mark.parametrize("arguments", [[], ["--completed-after=0", "--no-input"], ["--completed-after=0", "--dry-run"]])
def test_nobody_is_asked_who_does_what_workers_do_or_does_not_want_to_be(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(""))

    assert command("purgejobs", *arguments).err == ""
