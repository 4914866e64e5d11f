"""Operators pause one job, and set other limits than the settings, for a while or for good."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from django_jobqueue import operations, queues
from django_jobqueue.errors import InvalidArgument, UnknownJob, UnknownQueue
from django_jobqueue.limiting.limiter import Limiter
from django_jobqueue.models import Activity, QueueState, Run

pytestmark = pytest.mark.django_db


def claimed(limit: int = 10) -> list[int]:
    """Claim as a worker does that knows nothing yet, and looks again at once if there may be more."""
    limiter = Limiter()
    while True:
        with limiter.turn(["mail"]) as turn:
            answer = turn.claim("mail", worker="worker-a", limit=limit, lease_seconds=30)
        if answer.claims or not answer.more:
            return [claim.id for claim in answer.claims]


def add(count: int) -> list[int]:
    return [run_id or 0 for run_id in queues.mail.bulk_add([{"job": "send"}] * count)]


def told() -> tuple[Any, ...]:
    activity = Activity.objects.latest("pk")
    return activity.operation, activity.queue, activity.actor, activity.reason, activity.detail


def test_a_paused_job_is_not_claimed_until_it_is_resumed(
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    ids = add(3)
    operations.pause_job("mail", "send", actor="ana", reason="the server moves")

    assert claimed() == []
    assert set(Run.objects.values_list("blocked_on", flat=True)) == {"pause:send"}
    assert told() == ("queues.pause_job", "mail", "ana", "the server moves", {"job": "send"})

    with django_capture_on_commit_callbacks(execute=True):
        assert operations.resume_job("mail", "send", actor="bob", reason="it has moved") is True
    assert told() == ("queues.resume_job", "mail", "bob", "it has moved", {"job": "send"})
    assert claimed() == ids
    assert operations.resume_job("mail", "send", actor="bob") is False
    assert Activity.objects.count() == 2


def test_the_pause_of_a_job_may_end_by_itself() -> None:
    until = timezone.now() + timedelta(hours=1)

    operations.pause_job("mail", "send", actor="ana", until=until)

    assert QueueState.objects.get(job="send").paused_until == until
    assert told()[-1] == {"job": "send", "until": until.isoformat()}


@pytest.mark.parametrize("job", ["", "send"])
@pytest.mark.parametrize(
    ("limit", "value", "number"),
    [("concurrent_jobs", 2, 2), ("concurrent_jobs_per_key", 1, 1), ("rate_limit", "1/h", 1)],
)
def test_a_limit_holds_from_the_next_claim_on_until_it_is_cleared(
    job: str,
    limit: Any,
    value: Any,
    number: int,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    ids = add(4)
    Run.objects.update(concurrency_key="7")

    operations.set_limit("mail", limit, value, job=job, actor="ana", reason="too much")

    detail = {"limit": limit, "value": value} | ({"job": job} if job else {})
    assert told() == ("queues.set_limit", "mail", "ana", "too much", detail)
    assert claimed() == ids[:number]

    with django_capture_on_commit_callbacks(execute=True):
        assert operations.clear_limit("mail", limit, job=job, actor="bob") is True
    assert claimed() == ids[number:]
    assert operations.clear_limit("mail", limit, job=job, actor="bob") is False


def test_a_limit_may_be_set_for_a_while_and_set_again(settings: Settings) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {"concurrent_jobs": 1}}}
    ids = add(4)
    until = timezone.now() + timedelta(hours=1)
    operations.set_limit("mail", "concurrent_jobs", 3, actor="ana", until=until)
    operations.set_limit("mail", "concurrent_jobs", 2, actor="ana", until=until)
    assert told()[-1] == {"limit": "concurrent_jobs", "value": 2, "until": until.isoformat()}

    assert claimed() == ids[:2]
    QueueState.objects.update(concurrent_jobs_until=timezone.now() - timedelta(minutes=1))
    assert claimed() == []


def test_a_raised_limit_calls_those_who_wait(
    settings: Settings, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {"jobs": {"send": {"concurrent_jobs": 1}}}}}
    ids = add(4)
    claimed()

    with django_capture_on_commit_callbacks(execute=True):
        operations.set_limit("mail", "concurrent_jobs", 3, job="send", actor="ana")

    assert claimed() == ids[1:3]


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (("mial", "concurrent_jobs", 1), UnknownQueue, "'mial' is not a queue. Did you mean 'mail'?"),
        (
            ("mail", "concurrent_job", 1),
            InvalidArgument,
            "limit: 'concurrent_job' is not a limit. Did you mean 'concurrent_jobs'?",
        ),
        (
            ("mail", "concurrent_jobs", 0),
            InvalidArgument,
            "concurrent_jobs: must be a whole number from 1 to 2147483647, got 0.",
        ),
        (
            ("mail", "concurrent_jobs", 2**31),
            InvalidArgument,
            "concurrent_jobs: must be a whole number from 1 to 2147483647, got 2147483648.",
        ),
        (("mail", "rate_limit", "often"), InvalidArgument, "rate_limit: must be a number of starts and a unit of time"),
    ],
)
def test_what_is_no_limit_is_refused_and_nothing_is_written(
    arguments: tuple[Any, ...], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as caught:
        operations.set_limit(*arguments, actor="ana")

    assert str(caught.value).startswith(message)
    assert QueueState.objects.count() == Activity.objects.count() == 0


def test_an_unknown_job_is_refused() -> None:
    with pytest.raises(UnknownJob, match="Did you mean 'send'"):
        operations.pause_job("mail", "sned", actor="ana")
    with pytest.raises(UnknownJob, match="Did you mean 'send'"):
        operations.set_limit("mail", "concurrent_jobs", 1, job="sned", actor="ana")


def test_a_queue_that_keeps_order_keeps_it(settings: Settings) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {"concurrent_jobs_per_key": 1, "keep_order": True}}}

    with pytest.raises(InvalidArgument, match="must be 1 where keep_order is declared, got 2"):
        operations.set_limit("mail", "concurrent_jobs_per_key", 2, actor="ana")


@pytest.mark.parametrize("by", ["settings", "operator"])
def test_a_job_does_not_get_a_limit_of_keys_that_takes_it_out_of_that_of_its_queue(settings: Settings, by: str) -> None:
    """Its keys would count for themselves then, and two runs of one key could run at once."""
    declared = {"concurrent_jobs_per_key": 1} if by == "settings" else {}
    post = {"run": "tests.shop.jobs.add_up", "concurrent_jobs_per_key": 3}
    settings.JOBQUEUE = {"queues": {"mail": {**declared, "jobs": {"post": post}}}}
    if by == "operator":
        operations.set_limit("mail", "concurrent_jobs_per_key", 1, actor="ana")

    with pytest.raises(InvalidArgument, match="the keys of job 'send' count in queue 'mail'"):
        operations.set_limit("mail", "concurrent_jobs_per_key", 1, actor="ana", job="send")
    operations.set_limit("mail", "concurrent_jobs_per_key", 1, actor="ana", job="post")  # has its own anyway


def test_what_is_over_by_itself_need_not_be_ended() -> None:
    over = timezone.now() - timedelta(seconds=1)
    QueueState.objects.create(
        queue="mail", concurrent_jobs=1, concurrent_jobs_until=over, paused_at=over, paused_until=over
    )

    assert operations.clear_limit("mail", "concurrent_jobs", actor="ana") is False
    assert operations.resume_queue("mail", actor="ana") is False
    assert QueueState.objects.get().concurrent_jobs is None
    assert not Activity.objects.exists()
