"""What waits is held to the jobs of this release, all of it, whatever is wrong with some."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from django_jobqueue import job, operations, queues
from django_jobqueue.models import Run, Schedule
from django_jobqueue.operations import checking
from django_jobqueue.operations.checking import Problem, Some
from django_jobqueue.states import FINAL_STATES
from tests.operations.conftest import row

pytestmark = pytest.mark.django_db


@dataclass
class Invoice:
    number: int
    due: date
    lines: list[int]

    def __post_init__(self) -> None:
        if self.number == 13:
            raise ValueError(f"we have no number {self.number}")
        if self.number == 14:
            raise RuntimeError("the validator is broken")


@pytest.fixture(autouse=True)
def bill(shop: None) -> None:
    @job(queue="mail", version=2, upgrades={1: with_lines})
    def bill(payload: Invoice) -> None: ...


def with_lines(payload: dict[str, Any]) -> dict[str, Any]:
    line = payload.pop("line", None)
    return payload if line is None else payload | {"lines": [int(line)]}


GOOD = {"number": 7, "due": "2026-05-17", "lines": [1]}


def add(payload: Any, job: str = "bill", version: int = 2, **columns: Any) -> int:
    run = row(job=job, payload=payload, version=version, **columns)
    run.save()
    return run.pk


def found() -> list[tuple[str, str, int]]:
    problems = operations.check_pending().problems
    return [(f"{each.queue}.{each.job}", each.problem, each.runs.count) for each in problems]


def test_all_is_well_where_all_that_waits_fits() -> None:
    add(GOOD)
    add(GOOD, state="running")
    add({"to": "ann"}, job="send", version=1)
    Schedule.objects.create(name="daily", queue="mail", job="bill", payload=GOOD)

    checked = operations.check_pending()

    assert (checked.runs, checked.schedules, checked.problems) == (3, 1, [])


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (GOOD | {"due": "soon"}, 'payload["due"]: must be a date'),
        (GOOD | {"lines": [1, "secret"]}, 'payload["lines"][...]: must be a whole number'),
        ({"number": 7, "lines": []}, "payload: does not fit Invoice. 'due' is missing."),
        (GOOD | {"number": 13}, "payload: Invoice refuses it"),
        (GOOD | {"number": 14}, "checking the payload raised RuntimeError."),
        ([1], "payload: must be Invoice"),
    ],
)
def test_a_payload_that_does_not_fit_is_told_without_its_values(payload: Any, problem: str) -> None:
    add(GOOD)
    add(payload)

    assert found() == [("mail.bill", problem, 1)]


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"job": "sned"}, "mail.sned: 'sned' is not a job of queue 'mail'. Did you mean 'send'?"),
        ({"queue": "mial", "job": "send"}, "mial.send: 'mial' is not a queue. Did you mean 'mail'?"),
        ({"job": "bill", "version": 3}, "mail.bill: payload: is of version 3, and this release knows 2."),
        (
            {"job": "bill", "version": 1, "payload": {"line": "x"}},
            f"mail.bill: payload: {__name__}.with_lines() cannot upgrade it from version 1. ValueError",
        ),
    ],
)
def test_a_run_that_no_job_of_this_release_could_work_is_told(columns: dict[str, Any], problem: str) -> None:
    row(**({"payload": {}} | columns)).save()

    [each] = operations.check_pending().problems
    assert f"{each.queue}.{each.job}: {each.problem}" == problem


def test_a_payload_of_an_older_version_is_checked_as_it_will_be_upgraded() -> None:
    add({"number": 7, "due": "2026-05-17", "line": "5"}, version=1)
    add({"number": 7, "due": "2026-05-17"}, version=1)

    assert found() == [("mail.bill", "payload: does not fit Invoice. 'lines' is missing.", 1)]


def test_a_job_that_cannot_work_is_a_problem_of_its_runs() -> None:
    job(queue="mail", name="broken", version=2)(with_lines)
    add({}, job="broken")

    [(name, problem, count)] = found()
    assert (name, count) == ("mail.broken", 1)
    assert "nothing upgrades payloads of version 1" in problem


def test_a_run_under_an_alias_is_checked_by_its_job() -> None:
    job(queue="mail", name="letter", aliases=["post"])(lambda to: None)
    add({"to": 1}, job="post", version=1)
    add({"too": 1}, job="post", version=1)

    assert found() == [
        (
            "mail.post",
            "payload: does not fit <lambda>(). 'to' is missing. 'too' is not a parameter. Did you mean 'to'?",
            1,
        )
    ]


def test_what_has_ended_is_not_looked_at_nor_other_namespaces_nor_disabled_schedules() -> None:
    for state in FINAL_STATES:
        add({}, state=state)
    add({}, namespace="other")
    Schedule.objects.create(name="off", queue="mail", job="bill", enabled=False)
    Schedule.objects.create(name="other", queue="mail", job="bill", namespace="other")

    checked = operations.check_pending()

    assert (checked.runs, checked.schedules, checked.problems) == (0, 0, [])


def test_what_another_deployment_works_is_left_to_it(settings: Settings) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {}, "billing": {"external": True}}}
    queues.billing.add("whatever", {"of": "theirs"})
    Schedule.objects.create(name="theirs", queue="billing", job="whatever")

    checked = operations.check_pending()

    assert (checked.runs, checked.schedules, checked.problems) == (0, 0, [])


def test_a_schedule_whose_payload_does_not_fit_is_told() -> None:
    Schedule.objects.create(name="daily", queue="mail", job="bill", payload=GOOD | {"due": None})
    Schedule.objects.create(name="hourly", queue="mail", job="bil", payload=GOOD)
    run = add(GOOD | {"due": "soon"})

    problems = operations.check_pending().problems

    assert problems == [
        Problem(
            "mail", "bil", "'bil' is not a job of queue 'mail'. Did you mean 'bill'?", schedules=Some(1, ["hourly"])
        ),
        Problem("mail", "bill", 'payload["due"]: must be a date', Some(1, [run]), Some(1, ["daily"])),
    ]


def test_of_a_schedule_whose_payload_a_function_makes_only_the_job_is_checked() -> None:
    for name, name_of_job in [("made", "bill"), ("lost", "bil")]:
        Schedule.objects.create(name=name, queue="mail", job=name_of_job, payload={}, payload_function="shop.monday")

    checked = operations.check_pending()

    assert checked.schedules == 2
    assert [each.schedules.first for each in checked.problems] == [["lost"]]


def test_many_runs_with_one_flaw_are_one_problem_that_names_the_first() -> None:
    ids = [add(GOOD | {"due": f"day {number}"}) for number in range(7)]
    worse = [add(GOOD | {"number": None}) for _ in range(9)]

    problems = operations.check_pending().problems

    assert [(each.problem, each.runs) for each in problems] == [
        ('payload["number"]: must be a whole number', Some(9, worse[:5])),
        ('payload["due"]: must be a date', Some(7, ids[:5])),
    ]


def test_problems_without_end_are_not_all_kept(settings: Settings) -> None:
    for number in range(checking.MOST_PROBLEMS + 20):
        add({f"key {number}": 1})

    problems = operations.check_pending().problems

    assert len(problems) == checking.MOST_PROBLEMS + 1
    assert (problems[0].problem, problems[0].runs.count) == ("has other problems, too many to tell apart.", 20)


def test_it_goes_batch_by_batch_and_writes_nothing() -> None:
    Run.objects.bulk_create(row(job="bill", payload=GOOD, version=2) for _ in range(2 * checking.BATCH + 1))

    with CaptureQueriesContext(
        connection,
    ) as queries:
        checked = operations.check_pending()

    assert checked.runs == 2 * checking.BATCH + 1
    assert len(queries) == 5  # three batches and the end of them, and no schedule
    assert all(query["sql"].startswith("SELECT") for query in queries)
