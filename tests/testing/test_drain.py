"""``drain()`` works the table as a worker does, on the connection of the test; everything here is a ``TestCase``."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, connection, transaction
from django.test import TestCase
from django.utils import timezone

from django_jobqueue import Cancel, Retry, RunContext, Snooze, job, queues
from django_jobqueue.errors import PayloadError, UnknownJob, UnknownQueue
from django_jobqueue.jobs import registry
from django_jobqueue.models import Attempt, Run
from django_jobqueue.operations import cancel, pause_queue, resume_queue
from django_jobqueue.states import Outcome, Reason, State
from django_jobqueue.testing import adrain, drain

HOUR = 3600.0


class Drains(TestCase):
    def setUp(self) -> None:
        self.calls: list[Any] = []


class WhatIsDue(Drains):
    def test_is_worked_through_the_table_and_through_json(self) -> None:
        @job
        def total(prices: list[int]) -> tuple[int, str]:
            self.calls.append(type(prices))
            return sum(prices), "EUR"

        run = queues.default.add("total", {"prices": (1, 2)})
        [worked] = drain()

        run.refresh_from_db()
        assert (run.state, run.result, self.calls) == (State.COMPLETED, [3, "EUR"], [list])
        assert [attempt.outcome for attempt in run.attempts.all()] == ["completed"]
        assert (worked.run_id, worked.queue, worked.job, worked.attempt) == (run.pk, "default", "total", 1)
        assert (worked.outcome, worked.state, worked.reason) == (Outcome.COMPLETED, State.COMPLETED, Reason.RETURNED)
        assert repr(worked) == f"<default.total #{run.pk}, attempt 1: completed>"
        assert drain() == []

    def test_is_asked_whether_it_may_start(self) -> None:
        @job(preflight={"okay_to_run": lambda payload, run: run.attempt > 1, "requeue_delay_seconds": 60})
        async def note(run: RunContext) -> int:
            return run.attempt

        run = queues.default.add("note")
        [refused] = drain()
        [worked] = drain(advance_seconds=60)

        run.refresh_from_db()
        assert (refused.outcome, refused.state, refused.failed) == (Outcome.RELEASED, State.PENDING, False)
        assert (worked.outcome, run.result, run.attempts.count()) == (Outcome.COMPLETED, 2, 1)

    def test_is_worked_by_priority_then_by_time_then_in_the_order_of_adding(self) -> None:
        @job
        def note(word: str) -> None:
            self.calls.append(word)

        now = timezone.now()
        for word, options in [
            ("third", {}),
            ("fourth", {}),
            ("second", {"next_run_at": now - timedelta(hours=1)}),
            ("first", {"priority": 1}),
        ]:
            queues.default.add("note", {"word": word}, **options)  # type: ignore[arg-type]
        drain()

        assert self.calls == ["first", "second", "third", "fourth"]

    def test_includes_what_jobs_add(self) -> None:
        @job(queue="mail")
        def count_down(number: int) -> None:
            self.calls.append(number)
            if number:
                queues.mail.add("count_down", {"number": number - 1})

        queues.mail.add("count_down", {"number": 2})
        drain()

        assert self.calls == [2, 1, 0]

    def test_may_be_that_of_some_queues_only(self) -> None:
        for queue in ["default", "mail"]:
            job(queue=queue, name="note")(_nothing)
            queues[queue].add("note")

        assert [worked.queue for worked in drain("mail")] == ["mail"]
        assert [worked.queue for worked in drain(queues.default)] == ["default"]

    def test_is_not_what_is_due_later(self) -> None:
        job(name="note")(_nothing)
        queues.default.add("note", delay_seconds=HOUR)

        assert drain() == []

    def test_is_not_what_is_paused(self) -> None:
        job(name="note")(_nothing)
        queues.default.add("note")
        pause_queue("default", actor="test")

        assert drain() == []

    def test_a_run_that_is_asked_to_cancel_while_it_fails_is_cancelled(self) -> None:
        @job
        def cancelled(*, run: RunContext) -> None:
            cancel(run.id, actor="test")
            raise ValueError

        queues.default.add("cancelled")
        [worked] = drain()

        assert (worked.outcome, worked.state, worked.failed) == (Outcome.CANCELLED, State.CANCELLED, False)

    def test_a_job_that_is_not_known_is_put_back(self) -> None:
        job(name="note")(_nothing)
        run = queues.default.add("note")
        del registry._declared["default", "note"], registry._resolved["default", "note"]
        [worked] = drain()

        run.refresh_from_db()
        assert (worked.outcome, run.state, run.releases) == (Outcome.RELEASED, State.PENDING, 1)
        assert "'note' is not a job of queue 'default'" in str(worked.error)
        with pytest.raises(UnknownJob):
            drain(advance_seconds=30, raise_errors=True)

    def test_a_run_of_a_later_version_is_put_back(self) -> None:
        job(name="note")(_nothing)
        run = queues.default.add("note")
        Run.objects.update(version=2)
        [worked] = drain()

        run.refresh_from_db()
        assert (worked.outcome, run.state, run.releases) == (Outcome.RELEASED, State.PENDING, 1)
        assert "version 2 of the job, and this code knows 1" in str(worked.error)


class TheConnectionOfTheTest(Drains):
    def test_stays_as_it_is(self) -> None:
        before = connection.connection

        @job
        def note(*, run: RunContext) -> None:
            Group.objects.create(name=f"attempt {run.attempt}")
            if run.attempt == 1:
                raise OSError

        @job
        async def note_later() -> None:
            await Group.objects.acreate(name="async")

        queues.default.add("note")
        queues.default.add("note_later")
        drain(advance_seconds=60)

        assert connection.connection is before
        assert Group.objects.count() == 3

    def test_works_on_after_a_statement_of_a_job_failed(self) -> None:
        @job
        def add_twice() -> None:
            Group.objects.create(name="same")
            Group.objects.create(name="same")

        @job
        def swallow() -> None:
            Group.objects.create(name="swallowed")
            try:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT * FROM nowhere")
            except Exception:
                self.calls.append("swallowed")

        queues.default.add("add_twice")
        queues.default.add("swallow")
        worked = drain()

        assert [attempt.outcome for attempt in worked] == [Outcome.RETRIED, Outcome.COMPLETED]
        assert isinstance(worked[0].exception, IntegrityError)
        assert not Group.objects.filter(name="same").exists()
        assert Run.objects.get(job="add_twice").failures == 1

    def test_keeps_what_a_job_wrote_before_it_failed_as_a_worker_would(self) -> None:
        @job
        def write_and_fail() -> None:
            Group.objects.create(name="written")
            raise ValueError

        queues.default.add("write_and_fail")
        drain()

        assert Group.objects.filter(name="written").exists()

    def test_allows_a_durable_transaction_to_a_job(self) -> None:
        @job
        @transaction.atomic(durable=True)
        def write() -> None:
            Group.objects.create(name="written")

        queues.default.add("write")

        assert [worked.outcome for worked in drain(raise_errors=True)] == [Outcome.COMPLETED]

    def test_calls_what_a_job_asks_for_on_commit_and_leaves_to_the_test_what_the_test_asked_for(self) -> None:
        @job
        def note() -> None:
            with transaction.atomic():
                transaction.on_commit(lambda: self.calls.append("of the job"))
                assert self.calls == []
            transaction.on_commit(lambda: transaction.on_commit(lambda: self.calls.append("of its callback")))

        with self.captureOnCommitCallbacks() as captured:
            transaction.on_commit(lambda: self.calls.append("of the test"))
            queues.default.add("note")
            drain()

        assert self.calls == ["of the job", "of its callback"]
        captured[0]()
        assert self.calls == ["of the job", "of its callback", "of the test"]

    def test_forgets_what_is_to_be_called_when_a_job_could_not_have_committed(self) -> None:
        @job
        def break_off() -> None:
            transaction.on_commit(lambda: self.calls.append("called"))
            Group.objects.create(name="same")
            Group.objects.create(name="same")

        queues.default.add("break_off")
        drain()

        assert self.calls == []

    def test_lets_a_robust_callback_fail(self) -> None:
        @job
        def note() -> None:
            transaction.on_commit(_fail, robust=True)

        queues.default.add("note")

        with self.assertLogs("django_jobqueue.testing", "ERROR"):
            assert [worked.outcome for worked in drain()] == [Outcome.COMPLETED]

    def test_lets_no_other_callback_fail_in_silence(self) -> None:
        @job
        def note() -> None:
            transaction.on_commit(_fail)

        queues.default.add("note")

        with pytest.raises(ZeroDivisionError):
            drain()


class Time(Drains):
    def test_passes_until_the_retries_are_used_up(self) -> None:
        @job(max_attempts=3, backoff={"mode": "fixed", "initial_seconds": HOUR, "jitter": 0})
        def fail() -> None:
            raise ValueError("no")

        run = queues.default.add("fail")

        assert [worked.outcome for worked in drain()] == [Outcome.RETRIED]
        assert drain(advance_seconds=HOUR - 60) == []
        assert [worked.outcome for worked in drain(advance_seconds=60)] == [Outcome.RETRIED]
        assert [worked.outcome for worked in drain(advance_seconds=HOUR)] == [Outcome.DEAD_LETTERED]
        run.refresh_from_db()
        assert (run.state, run.reason, run.failures) == (State.DEAD_LETTERED, Reason.MAX_ATTEMPTS, 3)

    def test_lets_one_moment_follow_the_other_through_all_queues(self) -> None:
        def note(word: str, *, run: RunContext) -> None:
            self.calls.append((word, run.attempt))
            if word == "at 1" and run.attempt == 1:
                raise Retry(delay_seconds=1.5 * HOUR)

        for queue in ["default", "mail"]:
            job(queue=queue)(note)
        for hours, queue in [(3, "mail"), (1, "default"), (2, "mail"), (4, "default")]:
            queues[queue].add("note", {"word": f"at {hours}"}, delay_seconds=hours * HOUR)
        drain(advance_seconds=3 * HOUR)

        assert self.calls == [("at 1", 1), ("at 2", 1), ("at 1", 2), ("at 3", 1)]

    def test_that_passed_is_gone(self) -> None:
        job(name="note")(_nothing)
        run = queues.default.add("note", delay_seconds=3 * HOUR)
        drain(advance_seconds=2 * HOUR)

        run.refresh_from_db()
        assert abs(run.run_at - timezone.now() - timedelta(hours=1)) < timedelta(minutes=1)

    def test_passes_for_each_round_of_a_job_that_snoozes(self) -> None:
        @job
        def watch() -> None:
            self.calls.append(timezone.now())
            raise Snooze(delay_seconds=24 * HOUR)

        queues.default.add("watch")
        drain(advance_seconds=72 * HOUR)

        assert len(self.calls) == 4

    def test_is_not_held_up_by_a_queue_that_is_paused(self) -> None:
        for queue in ["default", "mail"]:
            job(queue=queue, name="note")(_nothing)
        queues.default.add("note")
        queues.default.add("note", delay_seconds=HOUR)
        queues.mail.add("note", delay_seconds=2 * HOUR)
        pause_queue("default", actor="test")

        assert [worked.queue for worked in drain(advance_seconds=3 * HOUR)] == ["mail"]

    def test_passes_for_what_expires_too(self) -> None:
        job(name="note")(_nothing)
        run = queues.default.add("note", expires_at=timezone.now() + timedelta(hours=1))
        pause_queue("default", actor="test")
        drain(advance_seconds=2 * HOUR)
        resume_queue("default", actor="test")

        run.refresh_from_db()
        assert (run.state, run.reason) == (State.CANCELLED, Reason.EXPIRED)
        assert drain() == []

    def test_ends_a_pause(self) -> None:
        job(name="note")(_nothing)
        queues.default.add("note")
        pause_queue("default", actor="test", until=timezone.now() + timedelta(hours=1))

        assert drain(advance_seconds=HOUR - 60) == []
        assert len(drain(advance_seconds=60)) == 1

    def test_brings_the_tokens_of_a_rate(self) -> None:
        job(name="note", rate_limit="1/m")(_nothing)
        for _ in range(4):
            queues.default.add("note")

        assert len(drain()) == 1
        assert len(drain(advance_seconds=30)) == 0
        assert len(drain(advance_seconds=31)) == 1
        assert len(drain(advance_seconds=130)) == 2

    def test_cannot_go_back(self) -> None:
        with pytest.raises(ValueError, match=r"advance_seconds: must be from 0 to ten years, got -1\."):
            drain(advance_seconds=-1)


class Errors(Drains):
    def test_are_told_with_the_attempt(self) -> None:
        @job(max_attempts=1)
        def fail() -> None:
            raise ValueError("no such order")

        run = queues.default.add("fail")
        [worked] = drain()

        assert worked.error == "ValueError: no such order"
        assert isinstance(worked.exception, ValueError)
        assert repr(worked) == f"<default.fail #{run.pk}, attempt 1: dead_lettered: ValueError: no such order>"

    def test_are_raised_on_demand_when_all_is_recorded_and_all_else_is_worked(self) -> None:
        job(name="note")(_nothing)
        job(name="fail")(_fail)
        run = queues.default.add("fail")
        queues.default.add("note")

        with pytest.raises(ZeroDivisionError) as caught:
            drain(raise_errors=True)

        run.refresh_from_db()
        assert caught.value.__notes__ == [
            f"<default.fail #{run.pk}, attempt 1: retried: ZeroDivisionError: division by zero>"
        ]
        assert (run.state, run.failures) == (State.PENDING, 1)
        assert Run.objects.get(job="note").state == State.COMPLETED

    def test_of_an_attempt_that_another_has_made_good_are_not_raised(self) -> None:
        @job
        def fail_once(*, run: RunContext) -> None:
            if run.attempt == 1:
                raise ValueError

        queues.default.add("fail_once")

        assert len(drain(advance_seconds=60, raise_errors=True)) == 2

    def test_are_none_where_a_job_steers_its_run(self) -> None:
        @job
        def steer(error: str) -> None:
            raise {"snooze": Snooze(delay_seconds=60), "cancel": Cancel("not needed")}[error]

        queues.default.add("steer", {"error": "snooze"})
        queues.default.add("steer", {"error": "cancel"})

        assert [worked.failed for worked in drain(raise_errors=True)] == [False, False]

    def test_of_a_payload_or_a_result_are_payload_errors(self) -> None:
        job(name="note")(_nothing)

        @job
        def wrong_result() -> object:
            return object()

        queues.default.add("note")
        registry._declared.clear()
        registry._resolved.clear()
        job(name="note")(_need_a_word)
        with pytest.raises(PayloadError, match=r"'word' is missing\."):
            drain(raise_errors=True)

        job(wrong_result)
        queues.default.add("wrong_result")
        with pytest.raises(PayloadError, match=r"result: object is not JSON\."):
            drain(raise_errors=True)

    def test_leave_the_traceback_that_a_worker_would_leave(self) -> None:
        @job
        async def fail_later() -> None:
            _fail()

        job(name="fail")(_fail)
        queues.default.add("fail")
        queues.default.add("fail_later")
        drain()

        plain, later = (attempt.traceback or "" for attempt in Attempt.objects.order_by("run_id"))
        assert re.findall(", in (.+)$", plain, re.MULTILINE) == ["_fail"]
        assert re.findall(", in (.+)$", later, re.MULTILINE) == ["fail_later", "_fail"]

    def test_that_are_no_failure_of_a_job_are_raised_always(self) -> None:
        @job
        def interrupted() -> None:
            raise KeyboardInterrupt

        queues.default.add("interrupted")

        with pytest.raises(KeyboardInterrupt):
            drain()
        assert Run.objects.get().failures == 1

    def test_end_what_would_never_end(self) -> None:
        @job
        def forever() -> None:
            queues.default.add("forever")

        queues.default.add("forever")

        with pytest.raises(
            AssertionError, match=r"More is due after 20 attempts[\s\S]*attempt 1: completed>\nDoes a job"
        ):
            drain(at_most=20)

    def test_name_a_queue_that_does_not_exist(self) -> None:
        with pytest.raises(UnknownQueue, match=r"'mial' is not a queue\. Did you mean 'mail'\?"):
            drain("mial")


class AsyncJobs(Drains):
    def setUp(self) -> None:
        super().setUp()

        @job
        async def write(name: str) -> int:
            await Group.objects.acreate(name=name)
            return await Group.objects.acount()

        @job
        async def fail() -> None:
            await Group.objects.acreate(name="same")
            await Group.objects.acreate(name="same")

    def test_run_in_a_test_that_is_not_async(self) -> None:
        run = queues.default.add("write", {"name": "a"})
        queues.default.add("fail")
        worked = drain()

        run.refresh_from_db()
        assert [attempt.outcome for attempt in worked] == [Outcome.COMPLETED, Outcome.RETRIED]
        assert (run.result, Group.objects.count()) == (1, 1)

    async def test_run_in_a_test_that_is(self) -> None:
        run = await queues.default.aadd("write", {"name": "a"})
        worked = await adrain("default", advance_seconds=60, raise_errors=True)

        await run.arefresh_from_db()
        assert [attempt.outcome for attempt in worked] == [Outcome.COMPLETED]
        assert (run.result, await Group.objects.acount()) == (1, 1)

    def test_may_cancel_their_own_task(self) -> None:
        @job
        async def cancel_itself() -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()

        run = queues.default.add("cancel_itself")
        drain()

        run.refresh_from_db()
        assert run.attempt == 1
        assert run.lease_until is None

    async def test_may_stand_beside_others(self) -> None:
        job(name="note")(_nothing)
        await queues.default.aadd("note")
        await queues.default.aadd("write", {"name": "a"})

        assert [worked.job for worked in await adrain()] == ["note", "write"]


@pytest.mark.django_db(transaction=True)
def test_outside_of_a_transaction_each_attempt_commits_as_that_of_a_worker() -> None:
    calls = []

    @job
    def add_twice() -> None:
        transaction.on_commit(lambda: calls.append("committed"))
        Group.objects.create(name="same")
        Group.objects.create(name="same")

    queues.default.add("add_twice")
    drain()

    assert calls == ["committed"]
    assert Group.objects.filter(name="same").count() == 1


def _nothing() -> None:
    """Do nothing."""


def _need_a_word(word: str) -> None:
    """Do nothing with a word."""


def _fail() -> None:
    1 / 0  # noqa: B018
