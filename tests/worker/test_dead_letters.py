"""``on_dead_letter``: a run that is given up is followed by another one, in the very transaction that gives it up."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from django_jobqueue import RunContext, Snooze, job, queues
from django_jobqueue.checks.jobs import check_jobs
from django_jobqueue.conf import get_config
from django_jobqueue.engines.base import Engine
from django_jobqueue.jobs import registry
from django_jobqueue.models import Run
from django_jobqueue.worker.assignment import Assignment
from django_jobqueue.worker.exchange import Exchange
from django_jobqueue.worker.leases import Leases
from django_jobqueue.worker.runner import Ended, run_attempt
from tests.listening import Listener
from tests.worker.bench import Gate, join_threads
from tests.worker.conftest import Lose, Refuse, StartWorker, Work

pytestmark = pytest.mark.django_db(transaction=True)


def fall() -> None:
    raise ValueError("no")


def declare(**options: Any) -> list[int]:
    """Declare ``fall``, which is looked after by ``look_after``; return the ids of what that is told of."""
    told: list[int] = []

    @job
    def look_after(run_id: int) -> None:
        told.append(run_id)

    all_options: dict[str, Any] = {"max_attempts": 1, "on_dead_letter": "look_after"} | options
    job(**all_options)(fall)
    return told


def test_a_run_that_is_dead_lettered_is_looked_after(work: Work, listener: Listener) -> None:
    told = declare()
    run = queues.default.add("fall")

    work()

    follower = queues.default.runs().get(job="look_after")
    assert (told, follower.payload, follower.state) == ([run.pk], {"run_id": run.pk}, "completed")
    assert listener.keys(follower) == ["enqueued", "started", "completed"]


@pytest.mark.parametrize("options", [{"max_attempts": 2}, {"fail_on": [ValueError]}], ids=["retried", "failed"])
def test_a_run_that_comes_to_anything_else_is_not(work: Work, options: dict[str, Any]) -> None:
    told = declare(**{"backoff": {"mode": "fixed", "initial_seconds": 3600}} | options)
    queues.default.add("fall")

    work()

    assert told == []


@pytest.mark.parametrize(
    ("options", "columns"), [({"max_crashes": 3}, {"crashes": 2}), ({"delivery": "at_most_once"}, {})], ids=repr
)
def test_a_run_that_lost_its_workers_is_looked_after(
    work: Work, lose: Lose, listener: Listener, options: dict[str, Any], columns: dict[str, int]
) -> None:
    told = declare(**options)
    run = queues.default.add("fall")
    Run.objects.filter(pk=run.pk).update(**columns)
    lose()

    work()

    run.refresh_from_db()
    assert (run.state, told) == ("dead_lettered", [run.pk])
    assert listener.keys(run) == ["enqueued", "failed", "dead_lettered"]
    assert listener.keys(queues.default.runs().get(job="look_after").pk) == ["enqueued", "started", "completed"]


def test_a_run_that_may_start_once_and_is_cut_off_is_looked_after(
    start_worker: StartWorker, gate: Gate, listener: Listener
) -> None:
    declare()

    @job(delivery="at_most_once", on_dead_letter="look_after")
    def pay() -> None:
        gate.wait_to_pass()

    run = queues.default.add("pay")
    with start_worker(grace_seconds=0) as worker:
        gate.wait_for_job()
        worker.stop()
    gate.open()
    join_threads()  # there was no time to wait until all is told

    follower = queues.default.runs("pending").get()
    assert follower.payload == {"run_id": run.pk}
    assert listener.keys(follower) == ["enqueued"]
    assert listener.keys(run) == ["enqueued", "started", "failed", "dead_lettered"]


def test_a_job_of_another_queue_may_look_after_it(work: Work, settings: Any) -> None:
    settings.JOBQUEUE = {"queues": {"alarms.night": {}}}

    @job(queue="alarms.night")
    def ring(run_id: int, *, run: RunContext) -> None:
        raise Snooze(delay_seconds=3600)

    job(max_attempts=1, on_dead_letter="alarms.night.ring")(fall)
    run = queues.default.add("fall")

    work()

    assert queues["alarms.night"].runs().get().payload == {"run_id": run.pk}


def test_a_queue_may_name_it_for_all_its_jobs_but_itself(work: Work, settings: Any) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {"on_dead_letter": "look_after", "max_attempts": 1}}}

    @job(queue="mail")
    def look_after(run_id: int) -> None:
        raise ValueError

    job(queue="mail")(fall)
    queues.mail.add("fall")

    work("mail")

    assert list(Run.objects.order_by("id").values_list("job", "state")) == [
        ("fall", "dead_lettered"),
        ("look_after", "dead_lettered"),
    ]
    assert problems() == []


def ended(run: Run, exchange: Exchange) -> Ended:
    [claim] = exchange.trade([], 1).claims
    attempt = run_attempt(Assignment(claim, registry.get("default", run.job)))
    assert isinstance(attempt, Ended)
    return attempt


def test_neither_is_there_without_the_other(engine: Engine, listener: Listener) -> None:
    declare()
    run = queues.default.add("fall")
    exchange = Exchange("me:1:a", ["default"], Leases())
    attempt = ended(run, exchange)

    with transaction.atomic():
        exchange.trade([attempt], 0)
        assert set(Run.objects.values_list("state", flat=True)) == {"dead_lettered", "pending"}
        transaction.set_rollback(True)

    assert list(Run.objects.values_list("state", flat=True)) == ["running"]
    assert [event.key for event in listener.events] == ["job.enqueued"]


def test_a_worker_that_lost_its_lease_adds_nothing(engine: Engine) -> None:
    declare()
    run = queues.default.add("fall")
    exchange = Exchange("me:1:a", ["default"], Leases())
    attempt = ended(run, exchange)
    engine.release([attempt.claim.ref])

    exchange.trade([attempt], 0)

    assert Run.objects.get().state == "pending"


def test_what_was_settled_before_its_reply_was_lost_is_followed_once(engine: Engine) -> None:
    declare()
    run = queues.default.add("fall")
    exchange = Exchange("me:1:a", ["default"], Leases())
    attempt = ended(run, exchange)

    exchange.trade([attempt], 0)
    exchange.trade([attempt], 0)

    assert queues.default.runs().filter(job="look_after").count() == 1


@pytest.mark.parametrize(("option", "inserts"), [("look_after", 1), (None, 0)])
def test_many_are_followed_by_one_statement_and_none_by_none(engine: Engine, option: str | None, inserts: int) -> None:
    declare(on_dead_letter=option)
    queues.default.bulk_add([{"job": "fall"} for _ in range(5)])
    exchange = Exchange("me:1:a", ["default"], Leases())
    claims = exchange.trade([], 5).claims
    attempts = [run_attempt(Assignment(claim, registry.get("default", "fall"))) for claim in claims]

    with CaptureQueriesContext(connection) as asked:
        exchange.trade([attempt for attempt in attempts if isinstance(attempt, Ended)], 0)

    into_runs = re.compile(r"INSERT\s+INTO jobqueue_run\b")
    assert sum(into_runs.search(query["sql"]) is not None for query in asked) == inserts
    assert queues.default.runs().filter(job="look_after").count() == 5 * inserts


def test_a_follower_that_cannot_be_added_stops_nothing(work: Work, caplog: pytest.LogCaptureFixture) -> None:
    declare(on_dead_letter="look_afetr")
    run = queues.default.add("fall")

    work()

    run.refresh_from_db()
    assert run.state == "dead_lettered"
    assert "nobody told: 'look_afetr' is not a job of queue 'default'. Did you mean 'look_after'?" in caplog.text


@pytest.mark.parametrize("end", ["failed", "lost"])
def test_a_follower_that_the_database_refuses_costs_no_other_its_end(
    work: Work, lose: Lose, refuse: Refuse, caplog: pytest.LogCaptureFixture, end: str
) -> None:
    declare(max_crashes=1)
    runs = [queues.default.add("fall") for _ in range(4)]
    first, _, third, _ = runs
    told = "CAST(payload AS text) LIKE '%{}}}'"
    refuse(f"job = 'look_after' AND ({told.format(first.id)} OR {told.format(third.id)})")
    for _ in runs if end == "lost" else ():
        lose()

    work()

    assert [run.state for run in queues.default.runs().filter(job="fall")] == ["dead_lettered"] * 4
    followed = [run.payload["run_id"] for run in queues.default.runs().filter(job="look_after")]
    assert sorted(followed) == [run.id for run in runs if run not in (first, third)]
    for run in runs:
        assert (f"Run {run.id} is dead-lettered, and nobody told" in caplog.text) == (run in (first, third))
    assert "settled one by one" not in caplog.text


def test_a_veto_that_fails_stops_nothing(work: Work, caplog: pytest.LogCaptureFixture) -> None:
    @job(preflight={"on_before_add": lambda new: 1 / 0})
    def look_after(run_id: int) -> None: ...

    job(max_attempts=1, on_dead_letter="look_after")(fall)
    run = queues.default.add("fall")

    work()

    run.refresh_from_db()
    assert (run.state, Run.objects.count()) == ("dead_lettered", 1)
    assert "ZeroDivisionError" in caplog.text


def test_nobody_is_asked_before_there_is_something_to_tell(work: Work) -> None:
    asked: list[str] = []

    def ask(new: Any) -> bool:
        asked.append(new.job)
        return True

    @job(preflight={"on_before_add": ask})
    def look_after(run_id: int) -> None: ...

    @job(on_dead_letter="look_after")
    def fine() -> None: ...

    queues.default.add("fine")

    work()

    assert asked == []


# What manage.py check says.


def look_after(run_id: int) -> None: ...


def no_run_id(run_number: int) -> None: ...


def problems() -> list[str]:
    return [error.msg for error in check_jobs(get_config()) if "on_dead_letter" in error.msg]


def test_an_unknown_job_is_an_error() -> None:
    job(look_after)
    job(on_dead_letter="look_afetr")(fall)

    assert problems() == [
        "Job 'fall' of queue 'default': on_dead_letter: 'look_afetr' is not a job of queue 'default'. "
        "Did you mean 'look_after'?"
    ]


def test_a_job_that_names_itself_is_an_error() -> None:
    job(on_dead_letter="look_after")(look_after)

    assert problems() == [
        "Job 'look_after' of queue 'default': on_dead_letter: is the job itself. Name another one, or None."
    ]


def test_a_job_that_takes_no_run_id_is_an_error() -> None:
    job(no_run_id)
    job(on_dead_letter="no_run_id")(fall)

    [problem] = problems()
    assert "'no_run_id' would get the payload {'run_id': ...}." in problem
    assert "'run_number' is missing" in problem


def test_jobs_that_lead_back_to_each_other_are_errors() -> None:
    def declare_one(name: str, following: str) -> Callable[..., Any]:
        return job(name=name, on_dead_letter=following)(look_after)

    for name, following in [("a", "b"), ("b", "c"), ("c", "a"), ("outside", "a")]:
        declare_one(name, following)

    assert [problem.split("'")[1] for problem in problems()] == ["a", "b", "c"]
    assert all("leads back to it" in problem for problem in problems())


def test_a_chain_that_ends_is_right() -> None:
    job(name="a", on_dead_letter="b")(look_after)
    job(name="b", on_dead_letter="c")(look_after)
    job(name="c")(look_after)

    assert problems() == []
