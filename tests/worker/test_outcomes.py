"""What a run comes to, for everything that a job may do."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from django_jobqueue import Cancel, Fail, Retry, RunContext, Snooze, job, queues
from django_jobqueue.engines.base import Engine, NewRun
from django_jobqueue.models import QueueState, Run
from tests.worker.bench import Recorder
from tests.worker.conftest import Work

pytestmark = pytest.mark.django_db(transaction=True)

AT_ONCE = {"mode": "fixed", "initial_seconds": 0}


def outcomes(run: Run) -> list[str]:
    return list(run.attempts.order_by("number").values_list("outcome", flat=True))


def seconds_until(run: Run) -> float:
    return (run.run_at - timezone.now()).total_seconds()


def test_a_job_that_returns_completes_its_run(work: Work, observer: Recorder) -> None:
    @job
    def add_up(a: int, b: int) -> int:
        return a + b

    run = queues.default.add("add_up", {"a": 2, "b": 3})

    exit_code = work()

    run.refresh_from_db()
    assert exit_code == 0
    assert (run.state, run.reason, run.result, run.error) == ("completed", "returned", 5, None)
    assert (run.attempt, run.failures, run.crashes, run.releases) == (1, 0, 0, 0)
    assert run.finished_at is not None
    attempt = run.attempts.get()
    assert (attempt.number, attempt.outcome, attempt.error, attempt.traceback) == (1, "completed", None, None)
    assert attempt.worker == run.worker == observer.workers[0]
    assert run.created_at <= attempt.started_at <= attempt.finished_at <= timezone.now()


@pytest.mark.parametrize("value", [0, 0.0, "", [], {}, False])
def test_a_falsy_result_is_a_result(work: Work, value: object) -> None:
    @job
    def answer() -> object:
        return value

    run = queues.default.add("answer")

    work()

    run.refresh_from_db()
    assert (run.state, run.result, type(run.result)) == ("completed", value, type(value))


def test_a_job_that_returns_nothing_has_no_result(work: Work) -> None:
    @job
    def clean_up() -> None:
        pass

    run = queues.default.add("clean_up")

    work()

    run.refresh_from_db()
    assert (run.state, run.result) == ("completed", None)
    assert Run.objects.filter(pk=run.pk, result__isnull=True).exists()


@pytest.mark.parametrize("options", [{}, {"concurrent_jobs": 1}], ids=["unlimited", "limited"])
def test_the_context_tells_a_job_what_its_adder_said_of_it(work: Work, options: dict[str, Any]) -> None:
    contexts: list[RunContext] = []

    @job(tags=["all"], **options)
    def look(number: int, *, run: RunContext) -> None:
        contexts.append(run)

    queues.default.add("look", {"number": 1}, tags=["é", "b"], tenant="acme", user=7, trace_id="4bf9", priority=1)
    queues.default.add("look", {"number": 2})
    work()

    full, bare = sorted(contexts, key=lambda run: run.id)  # two threads may begin in any order
    assert (full.tags, full.tenant, full.user, full.trace_id) == (("all", "é", "b"), "acme", "7", "4bf9")
    assert (bare.tags, bare.tenant, bare.user, bare.trace_id) == (("all",), None, None, None)
    assert "é" not in repr(full)
    with pytest.raises(FrozenInstanceError):
        full.tenant = "other"  # type: ignore[misc]


def test_the_context_tells_a_job_what_it_works(work: Work) -> None:
    contexts: list[RunContext] = []

    @job(backoff=AT_ONCE)
    def look(*, colour: str, run: RunContext) -> None:
        contexts.append(run)
        if run.attempt == 1:
            raise ValueError

    added = queues.default.add("look", {"colour": "red"})

    work()

    first, second = contexts
    assert (first.id, first.attempt, first.queue, first.job) == (added.id, 1, "default", "look")
    assert (first.payload, first.metadata, first.scheduled_for) == ({"colour": "red"}, {}, added.run_at)
    assert (second.id, second.attempt) == (added.id, 2)
    assert second.scheduled_for > first.scheduled_for


def test_a_job_that_raises_is_tried_again_after_its_backoff(work: Work) -> None:
    @job(backoff={"mode": "fixed", "initial_seconds": 100, "jitter": 0})
    def fall() -> None:
        raise ValueError("no")

    run = queues.default.add("fall")

    work()

    run.refresh_from_db()
    assert (run.state, run.reason, run.attempt, run.failures) == ("pending", None, 1, 1)
    assert (run.error, run.lease_until) == ("ValueError: no", None)
    assert 60 < seconds_until(run) <= 100
    assert outcomes(run) == ["retried"]


def test_a_run_whose_job_keeps_failing_is_dead_lettered_with_its_whole_history(work: Work) -> None:
    @job(max_attempts=3, backoff=AT_ONCE)
    def fall(run: RunContext) -> None:
        raise ValueError(f"no {run.attempt}")

    run = queues.default.add("fall")

    work()

    run.refresh_from_db()
    assert (run.state, run.reason, run.attempt, run.failures) == ("dead_lettered", "max_attempts", 3, 3)
    assert run.error == "ValueError: no 3"
    attempts = list(run.attempts.all())
    assert [attempt.number for attempt in attempts] == [1, 2, 3]
    assert outcomes(run) == ["retried", "retried", "dead_lettered"]
    assert [attempt.error for attempt in attempts] == [f"ValueError: no {n}" for n in (1, 2, 3)]
    assert all(first.finished_at <= then.started_at for first, then in pairwise(attempts))


def test_a_traceback_begins_at_the_frame_of_the_job(work: Work) -> None:
    def deeper() -> None:
        raise ValueError("no")

    @job(max_attempts=1)
    def fall() -> None:
        deeper()

    run = queues.default.add("fall")

    work()

    traceback = run.attempts.get().traceback
    assert traceback is not None
    frames = re.findall(r'File "(.+)", line \d+, in (.+)', traceback)
    assert [file for file, _ in frames] == [__file__, __file__]
    assert [name.rpartition(".")[2] for _, name in frames] == ["fall", "deeper"]
    assert traceback.rstrip().endswith("ValueError: no")


def test_an_attempt_after_failures_completes_the_run_and_clears_its_error(work: Work) -> None:
    @job(backoff=AT_ONCE)
    def recover(run: RunContext) -> str:
        if run.attempt < 3:
            raise ValueError("not yet")
        return "at last"

    run = queues.default.add("recover")

    work()

    run.refresh_from_db()
    assert (run.state, run.result, run.error, run.failures) == ("completed", "at last", None, 2)
    assert outcomes(run) == ["retried", "retried", "completed"]


@pytest.mark.parametrize(("of_run", "attempts"), [(None, 2), (1, 1), (4, 4)])
def test_a_run_may_have_more_or_fewer_attempts_than_its_job(work: Work, of_run: int | None, attempts: int) -> None:
    @job(max_attempts=2, backoff=AT_ONCE)
    def fall() -> None:
        raise ValueError

    run = queues.default.add("fall", max_attempts=of_run)

    work()

    run.refresh_from_db()
    assert (run.state, run.attempt) == ("dead_lettered", attempts)


def test_retry_says_when_the_next_attempt_comes_and_counts_as_a_failure(work: Work) -> None:
    @job
    def wait() -> None:
        raise Retry("the shop is closed", delay_seconds=1000)

    run = queues.default.add("wait")

    work()

    run.refresh_from_db()
    assert (run.state, run.failures, run.snoozes) == ("pending", 1, 0)
    assert 900 < seconds_until(run) <= 1000
    assert run.error == "Retry: the shop is closed"
    assert outcomes(run) == ["retried"]


def test_retry_may_name_the_moment(work: Work) -> None:
    moment = timezone.now() + timedelta(hours=5)

    @job
    def wait() -> None:
        raise Retry(at=moment)

    run = queues.default.add("wait")

    work()

    run.refresh_from_db()
    assert (run.state, run.run_at, run.failures) == ("pending", moment, 1)


def test_retry_without_a_time_follows_the_backoff(work: Work) -> None:
    @job(backoff={"mode": "fixed", "initial_seconds": 500, "jitter": 0})
    def wait() -> None:
        raise Retry

    run = queues.default.add("wait")

    work()

    run.refresh_from_db()
    assert 400 < seconds_until(run) <= 500


def test_retry_ends_in_the_dead_letter_when_the_attempts_are_used_up(work: Work) -> None:
    @job(max_attempts=2)
    def wait() -> None:
        raise Retry(delay_seconds=0)

    run = queues.default.add("wait")

    work()

    run.refresh_from_db()
    assert (run.state, run.reason, run.attempt) == ("dead_lettered", "max_attempts", 2)


@pytest.mark.parametrize("kind", [Retry, Snooze])
def test_a_delay_may_be_any_kind_of_number(work: Work, kind: type[Retry | Snooze]) -> None:
    @job
    def wait() -> None:
        raise kind(delay_seconds=Decimal("1000.5"))  # type: ignore[arg-type]  # as a price list would have it

    run = queues.default.add("wait")

    work()

    run.refresh_from_db()
    assert (run.state, run.attempt) == ("pending", 1)
    assert 900 < seconds_until(run) <= 1000.5


def test_a_snooze_costs_no_failure(work: Work) -> None:
    @job(max_attempts=1)
    def wait() -> None:
        raise Snooze(delay_seconds=1000)

    run = queues.default.add("wait")

    work()

    run.refresh_from_db()
    assert (run.state, run.failures, run.snoozes, run.error) == ("pending", 0, 1, None)
    assert 900 < seconds_until(run) <= 1000
    assert outcomes(run) == ["snoozed"]


def test_a_snooze_without_a_time_puts_the_run_back_at_once(work: Work) -> None:
    @job
    def wait(run: RunContext) -> None:
        if run.attempt < 4:
            raise Snooze

    run = queues.default.add("wait")

    work()

    run.refresh_from_db()
    assert (run.state, run.snoozes) == ("completed", 3)


def test_fail_ends_the_run_at_once(work: Work) -> None:
    @job(max_attempts=5)
    def refuse() -> None:
        raise Fail("no such customer")

    run = queues.default.add("refuse")

    work()

    run.refresh_from_db()
    assert (run.state, run.reason, run.error) == ("failed", "job_failed", "Fail: no such customer")
    attempt = run.attempts.get()
    assert attempt.outcome == "failed"
    assert "in refuse" in (attempt.traceback or "") or ".refuse" in (attempt.traceback or "")


def test_cancel_ends_the_run_as_cancelled(work: Work) -> None:
    @job
    def give_way() -> None:
        raise Cancel("the order was withdrawn")

    run = queues.default.add("give_way")

    work()

    run.refresh_from_db()
    assert (run.state, run.reason, run.failures) == ("cancelled", "cancelled", 0)
    assert outcomes(run) == ["cancelled"]


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", float("nan"), 2**70, {1: "x"}, "a\0b", "\ud800"])
def test_a_result_that_is_not_json_fails_the_run_in_plain_words(work: Work, value: object) -> None:
    @job
    def answer() -> Any:
        return value

    run = queues.default.add("answer")

    work()

    run.refresh_from_db()
    assert (run.state, run.reason, run.attempt) == ("failed", "invalid_result", 1)
    assert (run.error or "").startswith("result")
    assert outcomes(run) == ["failed"]


def test_a_result_that_is_too_large_fails_the_run(work: Work) -> None:
    @job
    def answer() -> str:
        return "x" * 300_000

    run = queues.default.add("answer")

    work()

    run.refresh_from_db()
    assert (run.state, run.reason, run.result) == ("failed", "invalid_result", None)
    assert "300002 bytes" in (run.error or "")


def test_a_payload_that_no_longer_fits_fails_the_run_without_calling_the_job(work: Work, engine: Engine) -> None:
    calls = []

    @job
    def greet(name: str) -> None:
        calls.append(name)

    [inserted] = engine.insert("default", [NewRun(queue="default", job="greet", payload_text='{"nmae": "Ann"}')])

    work()

    run = Run.objects.get(pk=inserted.id)
    assert calls == []
    assert (run.state, run.reason, run.attempt) == ("failed", "invalid_payload", 1)
    assert "Did you mean 'name'?" in (run.error or "")
    assert outcomes(run) == ["failed"]


def test_a_job_that_cannot_work_is_logged_and_holds_nobody_up(
    work: Work, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    @job
    def broken(*names: str) -> None:
        pass

    @job
    def fine() -> None:
        pass

    [inserted] = engine.insert("default", [NewRun(queue="default", job="broken")])
    other = queues.default.add("fine")

    work()

    other.refresh_from_db()
    assert other.state == "completed"
    assert Run.objects.get(pk=inserted.id).state == "pending"
    assert "*names" in caplog.text


@pytest.mark.parametrize("error", [ValueError, Retry])
def test_an_at_most_once_run_is_never_started_twice(work: Work, error: type[Exception]) -> None:
    calls = []

    @job(delivery="at_most_once", max_attempts=5, backoff=AT_ONCE)
    def pay() -> None:
        calls.append(1)
        raise error

    run = queues.default.add("pay", max_attempts=7)

    work()

    run.refresh_from_db()
    assert len(calls) == 1
    assert (run.state, run.reason) == ("dead_lettered", "max_attempts")


def test_jobs_may_be_declared_in_the_settings(work: Work, settings: Any) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {"jobs": {"send": "tests.shop.jobs.add_up"}}}}
    run = queues.mail.add("send", {"a": 1, "b": 2})

    work("mail")

    run.refresh_from_db()
    assert (run.state, run.result) == ("completed", 3)


def test_a_job_may_add_runs_which_are_undone_with_its_transaction(work: Work) -> None:
    @job(max_attempts=1)
    def plan() -> None:
        queues.default.add("follow", {"number": 1})
        with transaction.atomic():
            queues.default.add("follow", {"number": 2})
            raise ValueError

    followed = []

    @job
    def follow(number: int) -> None:
        followed.append(number)

    queues.default.add("plan")

    work()

    assert followed == [1]
    assert Run.objects.count() == 2


def test_draining_leaves_future_and_parked_runs_and_foreign_ones(work: Work, engine: Engine) -> None:
    @job
    def wait() -> None:
        pass

    future = queues.default.add("wait", delay_seconds=3600)
    parked = queues.default.add("wait")
    Run.objects.filter(pk=parked.pk).update(blocked_on="pause:wait")
    QueueState.objects.create(queue="default", job="wait", paused_at=timezone.now())
    engine.insert("elsewhere", [NewRun(queue="default", job="wait")])
    engine.insert("default", [NewRun(queue="other", job="wait")])

    exit_code = work()

    assert exit_code == 0
    assert future.attempts.count() == 0
    assert set(Run.objects.values_list("state", "attempt")) == {("pending", 0)}
