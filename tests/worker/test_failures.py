"""Whatever a job raises, its attempt is recorded and the worker lives."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pytest_django import Settings

from django_jobqueue import Retry, RunContext, Snooze, job, queues
from django_jobqueue.models import Run
from django_jobqueue.worker.failure import error_text, traceback_text
from tests.worker.conftest import Work

pytestmark = pytest.mark.django_db(transaction=True)

LATER = {"mode": "fixed", "initial_seconds": 1000}


class OddError(BaseException):
    """Not even an Exception."""


class SilentError(Exception):
    """Its text cannot be told."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class SecretiveError(Exception):
    """Its traceback cannot be told."""

    def __getattr__(self, name: str) -> object:
        if name == "__notes__":
            sys.exit(5)
        raise AttributeError(name)


class LeavingError(Exception):
    """Its text would end the thread."""

    def __str__(self) -> str:
        sys.exit(5)


def recursion() -> None:
    recursion()


def long_chain() -> None:
    error: Exception = ValueError("the first")
    for number in range(5_000):
        following = ValueError(f"number {number}")
        following.__cause__ = error
        error = following
    raise error


def raising(error: BaseException | type[BaseException]) -> Callable[[], None]:
    def raise_it() -> None:
        raise error

    return raise_it


FAILURES: dict[str, tuple[Callable[[], None], str]] = {
    "SystemExit": (lambda: sys.exit(7), "SystemExit: 7"),
    "KeyboardInterrupt": (raising(KeyboardInterrupt), "KeyboardInterrupt"),
    "GeneratorExit": (raising(GeneratorExit), "GeneratorExit"),
    "StopIteration": (raising(StopIteration("over")), "StopIteration: over"),
    "custom BaseException": (raising(OddError("odd")), "OddError: odd"),
    "error without text": (raising(SilentError()), "SilentError: (its text cannot be told: RuntimeError)"),
    "error whose text exits": (raising(LeavingError()), "LeavingError"),
    "error whose notes exit": (raising(SecretiveError("psst")), "SecretiveError: psst"),
    "NUL": (raising(ValueError("a\0b")), "ValueError: a\ufffdb"),
    "lone surrogate": (raising(ValueError("a\ud800b")), "ValueError: a\\ud800b"),
    "emoji and quotes": (
        raising(ValueError("\U0001f4a5 'a' \"b\" \\u0000")),
        "ValueError: \U0001f4a5 'a' \"b\" \\u0000",
    ),
    "several lines": (raising(ValueError("one\ntwo\r\nthree")), "ValueError: one"),
    "10 MB": (raising(ValueError("x" * 10_000_000)), "ValueError: xxx"),
    "deep recursion": (recursion, "RecursionError: maximum recursion depth exceeded"),
    "long chain of causes": (long_chain, "ValueError: number 4999"),
    "group": (raising(ExceptionGroup("several", [ValueError("a"), KeyError("b")])), "ExceptionGroup: several"),
}


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
@pytest.mark.parametrize(("fail", "text"), FAILURES.values(), ids=FAILURES)
def test_an_attempt_is_recorded_and_the_worker_lives_whatever_a_job_raises(
    work: Work, fail: Callable[[], None], text: str, kind: str
) -> None:
    if kind == "plain":

        @job(max_attempts=1)
        def fall() -> None:
            fail()

    else:
        if fail is FAILURES["StopIteration"][0]:
            text = "RuntimeError: coroutine raised StopIteration"

        @job(name="fall", max_attempts=1)
        async def fall_down() -> None:
            fail()

    @job
    def fine() -> None:
        pass

    run = queues.default.add("fall", priority=1)
    others = queues.default.bulk_add([{"job": "fine"} for _ in range(3)])

    exit_code = work(concurrency=1)

    assert exit_code == 0
    run.refresh_from_db()
    assert (run.state, run.reason, run.failures) == ("dead_lettered", "max_attempts", 1)
    error = run.error or ""
    assert error.startswith(text)
    assert len(error) <= 2_000
    attempt = run.attempts.get()
    assert attempt.error == error
    assert attempt.traceback
    assert len(attempt.traceback) < 100_000
    assert set(Run.objects.filter(pk__in=others).values_list("state", "attempt")) == {("completed", 1)}


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_a_wish_that_breaks_while_it_is_read_is_a_failure(work: Work, kind: str) -> None:
    class Broken(Retry):
        @property
        def at(self) -> Any:
            raise OddError("do not look")

        @at.setter
        def at(self, moment: object) -> None:
            pass

    def fall() -> None:
        raise Broken

    async def fall_down() -> None:
        raise Broken

    job(name="fall", max_attempts=2, backoff=LATER)(fall if kind == "plain" else fall_down)
    run = queues.default.add("fall")

    work(concurrency=1)

    run.refresh_from_db()
    assert (run.state, run.failures, run.error) == ("pending", 1, "OddError: do not look")


@pytest.mark.parametrize("option", ["retry_on", "fail_on"])
@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_an_error_for_which_the_rules_break_is_one_that_no_rule_mentions(work: Work, kind: str, option: str) -> None:
    class Odd(type):
        def __instancecheck__(cls, instance: object) -> bool:
            raise SystemExit(5)

    class OddError(Exception, metaclass=Odd):
        pass

    def fall() -> None:
        raise ValueError("as usual")

    async def fall_down() -> None:
        raise ValueError("as usual")

    options: dict[str, Any] = {option: [OddError], "backoff": LATER}
    job(name="fall", max_attempts=2, **options)(fall if kind == "plain" else fall_down)
    run = queues.default.add("fall")

    work(concurrency=1)

    run.refresh_from_db()
    assert (run.state, run.failures, run.error) == ("pending", 1, "ValueError: as usual")


def test_of_a_huge_traceback_the_end_is_kept_which_names_the_culprit(work: Work) -> None:
    @job(max_attempts=1)
    def fall() -> None:
        raise ValueError("x" * 100_000 + " the culprit")

    run = queues.default.add("fall")

    work()

    traceback = run.attempts.get().traceback or ""
    assert traceback.startswith("(cut)\nxxx")
    assert traceback.endswith("xxx the culprit\n")
    assert len(traceback) == 64 * 1024 + len("(cut)\n")


def test_a_huge_traceback_is_cut_to_so_many_bytes_and_between_characters() -> None:
    traceback = traceback_text(ValueError("\N{SNOWMAN}" * 30_000), str)

    assert traceback.startswith("(cut)\n\N{SNOWMAN}\N{SNOWMAN}")
    assert traceback.endswith("\N{SNOWMAN}\n")
    assert len(traceback.encode()) == 64 * 1024 + len("(cut)\n")


def test_no_more_of_a_huge_error_is_looked_through_for_secrets_than_may_be_kept() -> None:
    looked_through: list[int] = []

    def hide(text: str) -> str:
        looked_through.append(len(text))
        return text

    error = ValueError("x" * 10_000_000)

    assert error_text(error, hide).startswith("ValueError: xxx")
    assert traceback_text(error, hide).endswith("xxx\n")
    assert looked_through == [256 * 1024] * 2


def test_an_error_of_several_lines_is_kept_as_one(work: Work) -> None:
    @job(max_attempts=1)
    def fall() -> None:
        raise ValueError("one\ntwo\r\n  three")

    run = queues.default.add("fall")

    work()

    run.refresh_from_db()
    assert len((run.error or "").splitlines()) == 1
    assert (run.error or "").endswith("three")
    assert "two\r\n  three" in (run.attempts.get().traceback or "")


@pytest.mark.parametrize(
    "moment",
    [
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-12))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=12))),
        datetime(9999, 12, 31, 23, 59, tzinfo=UTC),
    ],
)
def test_a_retry_at_an_impossible_moment_harms_nobody(work: Work, moment: datetime) -> None:
    @job(backoff=LATER)
    def wait() -> None:
        raise Retry(at=moment)

    @job
    def fine() -> None:
        pass

    run = queues.default.add("wait", priority=1)
    other = queues.default.add("fine")

    work(concurrency=1)

    run.refresh_from_db()
    other.refresh_from_db()
    assert (run.state, run.attempt) == ("pending", 1)
    assert other.state == "completed"


@pytest.mark.parametrize("time", [60, 1.5, timedelta(minutes=1), datetime(2030, 1, 1, tzinfo=UTC)])
@pytest.mark.parametrize("outcome", [Retry, Snooze])
def test_a_time_without_its_name_is_refused_lest_the_run_go_on_at_once(work: Work, outcome: Any, time: object) -> None:
    @job(backoff=LATER)
    def wait() -> None:
        raise outcome(time)

    run = queues.default.add("wait")

    work()

    run.refresh_from_db()
    assert (run.state, run.attempt, run.failures) == ("pending", 1, 1)
    assert run.attempts.get().error == (
        f"ValueError: {outcome.__name__}: {time!r} is no message. Name it: delay_seconds= or at=."
    )


@pytest.mark.parametrize("base", [Retry, Snooze])
def test_an_outcome_that_forgot_its_base_is_one_without_a_time(work: Work, base: type[Retry | Snooze]) -> None:
    class Hasty(base):  # type: ignore[valid-type, misc]  # a class that is only known now
        def __init__(self) -> None:
            pass

    @job(backoff={"mode": "fixed", "initial_seconds": 0})
    def wait(run: RunContext) -> None:
        if run.attempt == 1:
            raise Hasty

    run = queues.default.add("wait")

    work(concurrency=1)

    run.refresh_from_db()
    assert (run.state, run.attempt, run.failures + run.snoozes) == ("completed", 2, 1)


def test_a_moment_with_a_time_zone_is_understood_without_use_tz(work: Work, settings: Settings) -> None:
    settings.USE_TZ = False
    moment = datetime.now(UTC) + timedelta(hours=5)

    @job
    def wait() -> None:
        raise Retry(at=moment)

    run = queues.default.add("wait")

    work()

    run.refresh_from_db()
    assert run.state == "pending"
    assert timedelta(hours=4) < run.run_at - datetime.now() < timedelta(hours=6)  # noqa: DTZ005 - as the project is


def test_a_result_that_breaks_while_it_is_read_is_a_failure(work: Work) -> None:
    class Trap(dict[str, Any]):
        def items(self) -> Any:
            raise RuntimeError("do not look")

    @job(max_attempts=1)
    def answer() -> object:
        return Trap(a=1)

    run = queues.default.add("answer")

    work()

    run.refresh_from_db()
    assert (run.state, run.error) == ("dead_lettered", "RuntimeError: do not look")
