"""Workers hear of new work at once, where the database can tell them; nobody who adds it waits for that."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from math import inf

import pytest
from django.db import transaction
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from django_jobqueue import operations, queues
from django_jobqueue.models import Run
from django_jobqueue.transports.publisher import publish_on_commit
from tests.transports.hearing import SHORT_SECONDS, heard, wait_for_silence
from tests.worker.bench import PATIENCE_SECONDS, Recorder, WorkerThread, wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgresql, pytest.mark.sqlite]


def test_a_worker_that_hardly_ever_looks_starts_a_new_run_at_once(observer: Recorder) -> None:
    with WorkerThread(["default"], observer) as worker:
        wait_until(lambda: worker.worker._desk.look_at == inf)  # it has looked, and will not by itself
        run = queues.default.add("note")
        observer.wait_until_settled(run)


def test_a_run_is_heard_of_when_it_is_committed_and_not_before() -> None:
    with heard() as woken:
        with transaction.atomic():
            queues.default.add("note")
            assert not woken.wait(SHORT_SECONDS)
        assert woken.wait(PATIENCE_SECONDS)


def test_a_run_that_is_rolled_back_is_not_heard_of() -> None:
    with heard() as woken:
        with transaction.atomic():
            queues.default.add("note")
            transaction.set_rollback(True)
        assert not woken.wait(SHORT_SECONDS)


@pytest.mark.parametrize("queue", ["mail", "default"])
def test_only_those_who_work_the_queue_hear_of_it(queue: str) -> None:
    with heard("default") as woken:
        queues[queue].bulk_add([{"job": "note"}])
        assert woken.wait(PATIENCE_SECONDS if queue == "default" else SHORT_SECONDS) is (queue == "default")


def test_another_namespace_hears_nothing(settings: Settings) -> None:
    with heard() as woken:
        settings.JOBQUEUE = {"namespace": "other", "queues": {"default": {"jobs": {"note": "builtins.repr"}}}}
        publish_on_commit(["default"])
        assert not woken.wait(SHORT_SECONDS)


def test_of_what_is_due_much_later_nobody_is_told_now() -> None:
    with heard() as woken:
        queues.default.add("note", delay_seconds=60)
        assert not woken.wait(SHORT_SECONDS)
        queues.default.add("note", delay_seconds=1)
        assert woken.wait(PATIENCE_SECONDS)


def set_limit(most: int) -> None:
    operations.set_limit("default", "concurrent_jobs", most, actor="ana")


def add_behind() -> None:
    operations.set_limit("default", "concurrent_jobs", 1, job="note", actor="ana")
    Run.objects.filter(pk=queues.default.add("note").pk).update(blocked_on="job:note")


@pytest.mark.parametrize(
    ("hold", "let_go"),
    [
        pytest.param(
            lambda: operations.pause_queue("default", actor="ana"),
            lambda: operations.resume_queue("default", actor="ana"),
            id="a resumed queue",
        ),
        pytest.param(
            lambda: operations.pause_job("default", "note", actor="ana"),
            lambda: operations.resume_job("default", "note", actor="ana"),
            id="a resumed job",
        ),
        pytest.param(lambda: set_limit(1), lambda: set_limit(2), id="a raised limit"),
        pytest.param(
            lambda: set_limit(1),
            lambda: operations.clear_limit("default", "concurrent_jobs", actor="ana"),
            id="a limit as in the settings",
        ),
        pytest.param(
            lambda: Run.objects.update(run_at=timezone.now() + timedelta(days=1)),
            lambda: operations.reschedule(Run.objects.get().pk, actor="ana", next_run_at="now"),
            id="an earlier time",
        ),
        pytest.param(
            add_behind,
            lambda: operations.cancel(Run.objects.earliest("pk").pk, actor="ana"),
            id="who waits behind one that is cancelled",
        ),
    ],
)
def test_what_operators_let_go_is_heard_of(hold: Callable[[], object], let_go: Callable[[], object]) -> None:
    queues.default.add("note")
    hold()
    wait_for_silence()
    with heard() as woken:
        let_go()
        assert woken.wait(PATIENCE_SECONDS)


def test_whoever_adds_a_run_sends_one_statement(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with heard() as woken:
        with django_assert_num_queries(1):
            queues.default.add("note")
        assert woken.wait(PATIENCE_SECONDS)
