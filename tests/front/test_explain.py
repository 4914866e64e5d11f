"""``explain`` says of each rule that keeps a run from starting what it is, and nothing of a run that would start now."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from django_jobqueue import job, queues
from django_jobqueue.engines import engine_for
from django_jobqueue.errors import RunNotFound
from django_jobqueue.models import QueueState, Run, Worker
from django_jobqueue.operations import cancel, explain, obstacles, pause_queue, resume_queue
from django_jobqueue.queue import Queue
from tests.front.conftest import send

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def worker(db: None, mail: Queue) -> Worker:
    """A worker of the queue that has just been heard of."""
    now = timezone.now()
    return Worker.objects.create(name="web-1:1:a", queues=["mail"], concurrency=8, started_at=now, heartbeat_at=now)


def take(limit: int = 1) -> list[int]:
    claims = engine_for("default").claim("default", "mail", worker="web-1:1:a", limit=limit, lease_seconds=30)
    return [claim.id for claim in claims]


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

    assert explain(run.pk) == [obstacles.NotPending(state=state)]
    assert str(obstacles.NotPending(state=state)) == f"It is {state}, and only a pending run can start."


def test_a_run_that_is_not_due_is_told_with_its_time(mail: Queue) -> None:
    at = timezone.now() + timedelta(hours=1)
    run = mail.add("send", next_run_at=at)

    [obstacle] = explain(run.pk)

    assert obstacle == obstacles.NotDue(until=at)
    assert str(obstacle) == f"It is not due before {at:%Y-%m-%d %H:%M:%S}+00:00."


def test_an_expired_run_is_told_with_its_time(mail: Queue) -> None:
    run = mail.add("send")
    at = timezone.now() - timedelta(minutes=1)
    Run.objects.update(expires_at=at)

    assert explain(run.pk) == [obstacles.Expired(since=at)]


def test_a_paused_queue_is_told_with_who_did_it_and_why(mail: Queue) -> None:
    run = mail.add("send")
    until = timezone.now() + timedelta(hours=1)
    pause_queue("mail", actor="bob", reason="by mistake", until=until)
    resume_queue("mail", actor="bob")
    pause_queue("mail", actor="ana", reason="the server moves", until=until)

    [obstacle] = explain(run.pk)

    assert isinstance(obstacle, obstacles.QueuePaused)
    assert (obstacle.queue, obstacle.until) == ("mail", until)
    assert (obstacle.actor, obstacle.reason) == ("ana", "the server moves")
    assert str(obstacle).startswith(f"Queue 'mail' is paused until {until:%Y-%m-%d %H:%M:%S}+00:00, since ")
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

    assert obstacle == obstacles.SlotsTaken(limit="Queue 'mail'", most=2, held_by=(first.pk, second.pk))
    assert str(obstacle) == f"Queue 'mail' allows 2 at once, and these are running: #{first.pk}, #{second.pk}."


def test_a_parked_run_is_told_with_what_it_waits_for(mail: Queue) -> None:
    run = mail.add("send")
    Run.objects.update(blocked_on="key:customer-7")

    assert explain(run.pk) == [obstacles.Parked(on="key:customer-7")]


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

    assert str(obstacle) == "No live worker works queue 'mail'. Start one: manage.py runjobs mail"


def test_every_rule_is_told_not_only_the_first(mail: Queue) -> None:
    job(queue="mail", name="post")(send)
    run = queues.mail.add("post", delay_seconds=60)
    pause_queue("mail", actor="ana")
    Worker.objects.all().delete()

    assert codes(run) == ["not_due", "queue_paused", "no_worker"]
