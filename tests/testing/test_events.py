"""Events are told in a ``TestCase`` too, in the order in which a worker would tell them."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from django.contrib.auth.models import Group
from django.db import transaction

from django_jobqueue import RunContext, job, queues
from django_jobqueue.signals import RunCompleted, RunEvent, run_completed, run_started
from django_jobqueue.states import State
from django_jobqueue.testing import drain, inline
from tests.listening import Listener, received_by

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fail_once() -> None:
    @job
    def fail_once(*, run: RunContext) -> None:
        if run.attempt == 1:
            raise ValueError


def test_draining_tells_what_a_worker_tells(listener: Listener) -> None:
    run = queues.default.add("fail_once")
    drain(advance_seconds=60)

    assert listener.keys(run) == ["started", "retrying", "started", "completed"]
    assert {event.worker for event in listener.of(run)} == {"drain"}


def test_what_jobs_add_is_told_of_when_their_attempt_has_ended(listener: Listener) -> None:
    @job
    def add() -> None:
        queues.default.add("fail_once")

    queues.default.add("add")
    drain(advance_seconds=60)

    inner = queues.default.runs().get(job="fail_once")
    assert listener.keys(inner) == ["enqueued", "started", "retrying", "started", "completed"]
    assert listener.events.index(listener.of(inner)[0]) == 1


def test_inline_tells_of_a_run_before_it_starts(listener: Listener) -> None:
    with transaction.atomic(), inline():
        run = queues.default.add("fail_once")
        told = listener.keys(run)

    assert told == ["enqueued", "started", "retrying", "started", "completed"]
    assert listener.keys(run) == told


@pytest.mark.parametrize("inlined", [False, True])
def test_a_receiver_may_add_runs(inlined: bool) -> None:
    words = []

    @job
    def note(word: int) -> None:
        words.append(word)

    def add(event: RunCompleted, **_: object) -> None:
        if len(words) < 3:
            queues.default.add("note", {"word": len(words)})

    with received_by(add, run_completed), inline() if inlined else nullcontext():
        queues.default.add("note", {"word": 0})
        drain()

    assert words == [0, 1, 2]


@pytest.mark.parametrize("inlined", [False, True])
def test_a_receiver_may_fail_in_the_database(inlined: bool) -> None:
    @job
    def note(word: str) -> None:
        """Do nothing."""

    def fail(event: RunEvent, **_: object) -> None:
        Group.objects.create(name="same")
        Group.objects.create(name="same")

    with received_by(fail, run_completed, run_started), inline() if inlined else nullcontext():
        run = queues.default.add("note", {"word": "a"})
        drain()

    run.refresh_from_db()
    assert (run.state, run.attempts.count()) == (State.COMPLETED, 1)
