"""``explain`` says of each rule that keeps a run from starting what it is, and nothing of a run that would start now."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from django_jobqueue import job
from django_jobqueue.engines import engine_for
from django_jobqueue.errors import RunNotFound
from django_jobqueue.limiting.limiter import Limiter
from django_jobqueue.models import LimitBucket, QueueState, Run, Worker
from django_jobqueue.operations import cancel, explain, pause_job, pause_queue, reschedule, resume_queue, set_limit
from django_jobqueue.operations.obstacles import Rule
from django_jobqueue.queue import Queue
from tests.front.conftest import send

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def worker(db: None, mail: Queue) -> Worker:
    """A worker of the queue that is alive, however long the test takes."""
    for name in ("post", "page"):
        job(queue="mail", name=name)(send)
    now = timezone.now()
    alive = {"started_at": now, "heartbeat_at": now + timedelta(hours=1)}
    return Worker.objects.create(name="web-1:1:a", queues=["mail"], concurrency=8, **alive)


def take(limit: int = 1) -> list[int]:
    claims = engine_for("default").claim("default", "mail", worker="web-1:1:a", limit=limit, lease_seconds=30)
    return [claim.id for claim in claims]


def claim_limited() -> None:
    """Claim under limits, as a worker does, until there is nothing more."""
    limiter, more = Limiter(), True
    while more:
        with limiter.turn(["mail"]) as turn:
            more = turn.claim("mail", worker="web-1:1:a", limit=10, lease_seconds=30).more


def local(moment: datetime) -> str:
    """As sentences have it: in the time zone of the project, which is not UTC."""
    return timezone.localtime(moment).isoformat(sep=" ", timespec="seconds")


def codes(run: Run) -> list[str]:
    return [obstacle.code for obstacle in explain(run.pk)]


def test_nothing_holds_a_run_that_the_next_claim_takes(mail: Queue) -> None:
    run = mail.add("send")

    assert explain(run.pk) == []
    assert take() == [run.pk]


def test_a_run_may_be_named_by_text_and_one_that_is_not_there_is_told(mail: Queue) -> None:
    run = mail.add("send")

    assert explain(str(run.pk)) == []
    with pytest.raises(RunNotFound):
        explain("0")


@pytest.mark.parametrize("state", ["running", "cancelled"])
def test_a_run_that_is_not_pending_is_told_by_its_state_alone(mail: Queue, state: str) -> None:
    run = mail.add("send", delay_seconds=0 if state == "running" else 60)
    take() if state == "running" else cancel(run.pk, actor="ana")

    [obstacle] = explain(run.pk)

    assert obstacle.code == Rule.NOT_PENDING
    assert str(obstacle) == f"It is {state}, and only a pending run can start."


def test_a_running_run_that_is_asked_to_cancel_is_told_so(mail: Queue) -> None:
    run = mail.add("send")
    take()
    cancel(run.pk, actor="ana")

    _, obstacle = explain(run.pk)

    run.refresh_from_db()
    assert (obstacle.code, obstacle.since) == (Rule.CANCEL_REQUESTED, run.cancel_requested_at)
    assert str(obstacle).startswith("It was asked to cancel at ")


def test_a_run_that_is_not_due_is_told_with_its_time(mail: Queue) -> None:
    at = timezone.now() + timedelta(hours=1)
    run = mail.add("send", next_run_at=at)

    [obstacle] = explain(run.pk)

    assert (obstacle.code, obstacle.until) == (Rule.NOT_DUE, at)
    assert str(obstacle) == f"It is not due before {local(at)}."


def test_an_expired_run_is_told_with_its_time(mail: Queue) -> None:
    run = mail.add("send")
    at = timezone.now() - timedelta(minutes=1)
    Run.objects.update(expires_at=at)

    [obstacle] = explain(run.pk)

    assert (obstacle.code, obstacle.since) == (Rule.EXPIRED, at)
    assert str(obstacle) == f"It expired at {local(at)}, and will be cancelled."


def test_a_paused_queue_is_told_with_who_did_it_and_why(mail: Queue) -> None:
    run = mail.add("send")
    until = timezone.now() + timedelta(hours=1)
    pause_queue("mail", actor="bob", reason="by mistake", until=until)
    resume_queue("mail", actor="bob")
    pause_queue("mail", actor="ana", reason="the server moves", until=until)

    [obstacle] = explain(run.pk)

    assert (obstacle.code, obstacle.until) == (Rule.QUEUE_PAUSED, until)
    assert (obstacle.actor, obstacle.reason) == ("ana", "the server moves")
    assert str(obstacle).startswith(f"Queue 'mail' is paused until {local(until)}, since ")
    assert str(obstacle).endswith(" by ana: the server moves")


def test_a_pause_that_is_over_or_of_another_queue_is_not_told(mail: Queue) -> None:
    run = mail.add("send")
    pause_queue("mail", actor="ana", until=timezone.now() + timedelta(minutes=1))
    QueueState.objects.update(paused_until=timezone.now())
    pause_queue("default", actor="ana")

    assert explain(run.pk) == []


def test_a_full_queue_is_told_with_the_runs_that_fill_it(mail: Queue, settings: Settings) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {"concurrent_jobs": 2}}}
    first, second, third = (mail.add("send") for _ in range(3))
    take(limit=2)

    [obstacle] = explain(third.pk)

    assert (obstacle.code, obstacle.limit, obstacle.runs) == (Rule.SLOTS_TAKEN, None, (first.pk, second.pk))
    assert str(obstacle) == f"Queue 'mail' allows 2 at once, and 2 are running: #{first.pk}, #{second.pk}."


LIMITS = [
    ({"send": {"concurrent_jobs": 1}}, "job:send", "Job 'send' allows 1 at once, and 1 is running: #{0}."),
    (
        {"send": {"concurrent_jobs_per_key": 1}},
        "key:send/7",
        "Key '7' of job 'send' allows 1 at once, and 1 is running: #{0}.",
    ),
]


@pytest.mark.parametrize(("jobs", "limit", "text"), LIMITS, ids=["job", "key"])
@pytest.mark.parametrize("parked", [False, True])
def test_a_full_limit_is_told_with_the_runs_that_fill_it_whether_or_not_the_run_is_parked_for_it(
    mail: Queue, settings: Settings, jobs: dict[str, Any], limit: str, text: str, *, parked: bool
) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {"jobs": jobs}}}
    other = mail.add("post", concurrency_key="7")
    first = mail.add("send", concurrency_key="7")
    claim_limited()
    second = mail.add("send", concurrency_key="7")
    if parked:
        claim_limited()

    [obstacle] = explain(second.pk)

    second.refresh_from_db()
    assert second.blocked_on == (limit if parked else None)
    assert (obstacle.code, obstacle.limit, obstacle.runs) == (Rule.SLOTS_TAKEN, limit, (first.pk,))
    assert str(obstacle) == text.format(first.pk)
    assert Run.objects.get(pk=other.pk).state == "running"


def test_a_key_of_the_queue_is_held_by_the_runs_of_all_jobs_that_do_not_limit_it_themselves(
    mail: Queue, settings: Settings
) -> None:
    own = {"post": {"concurrent_jobs_per_key": 5}}
    settings.JOBQUEUE = {"queues": {"mail": {"concurrent_jobs_per_key": 2, "jobs": own}}}
    mail.add("post", concurrency_key="7")
    holders = [mail.add("send", concurrency_key="7").pk, mail.add("page", concurrency_key="7").pk]
    mail.add("send", concurrency_key="8")
    claim_limited()

    [obstacle] = explain(mail.add("page", concurrency_key="7").pk)

    assert (obstacle.limit, obstacle.runs) == ("key:/7", tuple(holders))
    assert str(obstacle).startswith("Key '7' of queue 'mail' allows 2 at once")


def test_who_waits_for_its_turn_is_told_with_the_run_whose_turn_it_is(mail: Queue, settings: Settings) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {"concurrent_jobs_per_key": 1, "keep_order": True}}}
    first = mail.add("send", concurrency_key="7", delay_seconds=60)
    second = mail.add("send", concurrency_key="7")

    [obstacle] = explain(second.pk)

    assert (obstacle.code, obstacle.limit, obstacle.runs) == (Rule.KEPT_ORDER, "key:/7", (first.pk,))
    assert str(obstacle) == (
        f"Key '7' of queue 'mail' is worked in the order of adding, and an earlier run has not ended: #{first.pk}."
    )

    Run.objects.filter(pk=first.pk).update(run_at=timezone.now())
    claim_limited()
    assert codes(second) == ["slots_taken"]  # by the first: told once


def test_who_waits_for_a_token_is_told_with_its_time(mail: Queue, settings: Settings) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {"jobs": {"send": {"rate_limit": "1/h"}}}}}
    first, second = (mail.add("send", rate_key="7") for _ in range(2))
    assert codes(first) == codes(second) == []
    claim_limited()
    third = mail.add("send", rate_key="7")

    [waits], [comes] = explain(second.pk), explain(third.pk)

    second.refresh_from_db()
    assert (waits.code, waits.limit) == (Rule.RATE, "rate:send/7")
    assert waits.until is not None
    assert abs(waits.until - second.run_at) < timedelta(milliseconds=1)
    assert str(waits).startswith("The rate of job 'send' for key '7' is 1/h: its own start is at ")
    assert comes.until is not None
    assert abs(comes.until - second.run_at) < timedelta(seconds=1)
    assert str(comes).startswith("The rate of job 'send' for key '7' is 1/h: the next start is at ")
    assert "not_due" not in codes(second)


@pytest.mark.parametrize(("rate", "hours"), [("1/m", 1 / 60), ("1/h", 1), ("1/d", 24)])
def test_who_waits_for_a_token_is_told_when_it_comes_though_the_rate_or_the_line_has_changed(
    mail: Queue, settings: Settings, rate: str, hours: float
) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {"jobs": {"send": {"rate_limit": "1/h"}}}}}
    _first, second, third = (mail.add("send") for _ in range(3))
    claim_limited()
    taken = LimitBucket.objects.get().updated_at
    set_limit("mail", "rate_limit", rate, job="send", actor="ana")
    reschedule(third.pk, priority=1, actor="ana")

    told = [explain(run.pk)[0].until for run in (third, second)]

    for until, tokens in zip(told, [1, 2], strict=True):
        assert until is not None
        assert abs(until - taken - timedelta(hours=tokens * hours)) < timedelta(milliseconds=1)


def test_a_paused_job_is_told_with_who_did_it_and_why_and_not_the_pause_of_another(mail: Queue) -> None:
    run = mail.add("send")
    pause_job("mail", "send", actor="ana", reason="wrong template")
    pause_job("mail", "post", actor="bob", reason="too slow")

    [obstacle] = explain(run.pk)

    assert (obstacle.code, obstacle.limit, obstacle.until) == (Rule.JOB_PAUSED, "pause:send", None)
    assert (obstacle.actor, obstacle.reason) == ("ana", "wrong template")
    assert str(obstacle).startswith("Job 'send' is paused, since ")


def test_who_is_parked_for_a_limit_that_holds_it_no_more_is_told(mail: Queue) -> None:
    run = mail.add("send")
    Run.objects.update(blocked_on="key:/customer-7")

    [obstacle] = explain(run.pk)

    assert (obstacle.code, obstacle.limit) == (Rule.PARKED, "key:/customer-7")
    assert str(obstacle).startswith("Key 'customer-7' of queue 'mail' holds it no more, but it is still parked there.")


def test_a_run_of_an_external_queue_is_told_so_and_whether_a_worker_of_it_lives(
    mail: Queue, settings: Settings
) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {"external": True}}}
    run = mail.add("send")
    assert codes(run) == ["external"]

    Worker.objects.all().delete()

    told, alone = explain(run.pk)
    assert str(told) == "Another deployment works queue 'mail', by rules that are not known here."
    assert str(alone) == "No live worker works queue 'mail'. Start one where it is worked."
    assert codes(run) == ["external", "no_worker"]


def test_a_job_that_this_release_does_not_know_is_told(mail: Queue) -> None:
    run = mail.add("send")
    Run.objects.update(job="sent")

    [obstacle] = explain(run.pk)

    assert str(obstacle) == ("This release cannot work it: 'sent' is not a job of queue 'mail'. Did you mean 'send'?")


def test_a_queue_that_this_release_does_not_know_is_told(mail: Queue) -> None:
    run = mail.add("send")
    Run.objects.update(queue="mial")

    assert codes(run) == ["job_unusable", "no_worker"]


@pytest.mark.parametrize("change", [{"queues": ["default"]}, {"heartbeat_at": timezone.now() - timedelta(minutes=1)}])
def test_a_queue_without_a_live_worker_is_told(mail: Queue, change: dict[str, Any]) -> None:
    run = mail.add("send")
    Worker.objects.update(**change)

    [obstacle] = explain(run.pk)

    others = ", only 'default'" if "queues" in change else ""
    assert str(obstacle) == f"No live worker works queue 'mail'{others}. Start one: manage.py runjobs mail"


def test_every_rule_is_told_not_only_the_first(mail: Queue) -> None:
    run = mail.add("post", delay_seconds=60)
    pause_queue("mail", actor="ana")
    Worker.objects.all().delete()

    assert codes(run) == ["not_due", "queue_paused", "no_worker"]
