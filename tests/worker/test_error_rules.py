"""``retry_on`` and ``fail_on``: which errors are worth another try; and servers that say when."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from django.utils import timezone

from django_jobqueue import Fail, Retry, RunContext, Snooze, job, queues
from django_jobqueue.errors import ConfigError
from django_jobqueue.jobs import registry
from django_jobqueue.models import Run
from tests.worker.conftest import Lose, Work

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sqlite]  # what an error is asks no database

LATER = {"mode": "fixed", "initial_seconds": 500, "jitter": 0}


class TemporaryError(Exception):
    """Worth another try."""


class BusyError(TemporaryError):
    """A special case."""


def raised(work: Work, error: BaseException, **options: Any) -> Run:
    """The run of a job that raises *error*, after its attempt."""

    @job(**({"backoff": LATER} | options))
    def fall() -> None:
        raise error

    run = queues.default.add("fall")
    work()
    run.refresh_from_db()
    return run


@pytest.mark.parametrize(
    ("error", "options", "state"),
    [
        (TemporaryError(), {"retry_on": [TemporaryError]}, "pending"),
        (BusyError(), {"retry_on": [TemporaryError]}, "pending"),
        (TemporaryError(), {"retry_on": [BusyError]}, "failed"),
        (ValueError(), {"retry_on": [TemporaryError, BusyError]}, "failed"),
        (ValueError(), {"retry_on": (TemporaryError, ValueError)}, "pending"),
        (SystemExit(), {"retry_on": [Exception]}, "failed"),
        (ValueError(), {"retry_on": []}, "failed"),
        (ValueError(), {"retry_on": None}, "pending"),
        (ValueError(), {"fail_on": [ValueError]}, "failed"),
        (UnicodeError(), {"fail_on": [ValueError]}, "failed"),
        (KeyError(), {"fail_on": [ValueError]}, "pending"),
        (BusyError(), {"fail_on": [BusyError], "retry_on": [TemporaryError]}, "failed"),
        (TemporaryError(), {"fail_on": [BusyError], "retry_on": [TemporaryError]}, "pending"),
        (BusyError(), {"fail_on": [f"{__name__}.TemporaryError"]}, "failed"),
        (ConnectionError(), {"fail_on": ["builtins.OSError"]}, "failed"),
    ],
    ids=repr,
)
def test_an_error_is_tried_again_or_not_by_its_class(
    work: Work, error: BaseException, options: dict[str, Any], state: str
) -> None:
    run = raised(work, error, **options)

    assert (run.state, run.failures, run.attempt) == (state, 1, 1)
    assert (run.reason, run.attempts.get().outcome) == (
        ("not_retried", "failed") if state == "failed" else (None, "retried")
    )
    assert (run.error or "").startswith(type(error).__name__)
    assert type(error).__name__ in (run.attempts.get().traceback or "")


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (Retry(), "pending", None),
        (Snooze(delay_seconds=60), "pending", None),
        (Fail(), "failed", "job_failed"),
    ],
    ids=repr,
)
def test_what_a_job_says_itself_counts_more_than_its_class(
    work: Work, error: BaseException, state: str, reason: str | None
) -> None:
    run = raised(work, error, retry_on=[TemporaryError], fail_on=[KeyError])

    assert (run.state, run.reason) == (state, reason)


def test_even_a_class_above_all_others_does_not_fail_a_retry(work: Work) -> None:
    assert raised(work, Retry(), fail_on=[Exception]).state == "pending"


def test_an_error_that_is_tried_again_ends_in_the_dead_letter_all_the_same(work: Work) -> None:
    run = raised(work, BusyError(), retry_on=[BusyError], max_attempts=1)

    assert (run.state, run.reason) == ("dead_lettered", "max_attempts")


def test_a_run_whose_worker_vanished_is_tried_again_whatever_is_listed(work: Work, lose: Lose) -> None:
    @job(retry_on=[], fail_on=[Exception])
    def note() -> None:
        pass

    run = queues.default.add("note")
    lose()
    queues.default.pause(actor="ann")  # no other attempt follows

    work()

    run.refresh_from_db()
    assert (run.state, run.crashes) == ("pending", 1)


def test_a_coroutine_is_held_to_the_same_rules(work: Work) -> None:
    @job(fail_on=[ValueError])
    async def fall() -> None:
        raise ValueError

    run = queues.default.add("fall")

    work()

    run.refresh_from_db()
    assert (run.state, run.reason) == ("failed", "not_retried")


def test_the_rules_of_a_queue_are_those_of_its_jobs_unless_they_say_otherwise(work: Work, settings: Any) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {"fail_on": [ValueError]}}}

    @job(queue="mail")
    def strict() -> None:
        raise ValueError

    @job(queue="mail", fail_on=[], backoff=LATER)
    def patient() -> None:
        raise ValueError

    runs = [queues.mail.add(name) for name in ("strict", "patient")]

    work("mail")

    for run in runs:
        run.refresh_from_db()
    assert [run.state for run in runs] == ["failed", "pending"]


WRONG: dict[str, dict[str, Any]] = {
    "fail_on\"]: must be a list of exception classes, or of their dotted paths, got 'ValueError'": {
        "fail_on": "ValueError"
    },
    "fail_on\"]: must be a list of exception classes, or of their dotted paths, got <class 'ValueError'>": {
        "fail_on": ValueError
    },
    "retry_on\"][1]: must be an exception class, or a dotted path such as 'shop.errors.CardRefused', got 'boom'": {
        "retry_on": [ValueError, "boom"]
    },
    "retry_on\"][0]: must be an exception class, or a dotted path such as 'shop.errors.CardRefused', got <class 'int'>": {
        "retry_on": [int]
    },
    "fail_on[0]: 'nowhere' cannot be imported: No module named 'nowhere'.": {"fail_on": ["nowhere.Error"]},
    "fail_on[0]: 'builtins' has no 'ValueErorr'. Did you mean 'ValueError'?": {"fail_on": ["builtins.ValueErorr"]},
    "fail_on[0]: 'builtins.len' is not a class of exceptions.": {"fail_on": ["builtins.len"]},
    "retry_on[0]: Retry says itself what becomes of the run. Remove it.": {"retry_on": ["django_jobqueue.Retry"]},
    "builtins.ValueError of retry_on is in fail_on too, so it would never be tried again. Remove one.": {
        "retry_on": [ValueError],
        "fail_on": ["builtins.ValueError"],
    },
    f"{__name__}.BusyError of retry_on is a {__name__}.TemporaryError, which is in fail_on, so it would never be tried "
    "again. Remove one.": {"retry_on": [BusyError], "fail_on": [KeyError, TemporaryError]},
}


@pytest.mark.parametrize(("problem", "options"), WRONG.items(), ids=WRONG)
def test_rules_that_cannot_work_are_refused_with_their_place(problem: str, options: dict[str, Any]) -> None:
    @job(**options)
    def fall() -> None:
        pass

    with pytest.raises(ConfigError) as caught:
        registry.get("default", "fall")

    [told] = caught.value.problems
    assert told.endswith(problem)
    assert f"{__name__}.test_rules_that_cannot_work_are_refused_with_their_place.<locals>.fall" in told


# A server says when.


def in_two_minutes() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=120), usegmt=True)


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        (lambda: "120", 60, 120),
        (lambda: " 120 ", 60, 120),
        (lambda: 120, 60, 120),
        (lambda: 119.5, 60, 119.5),
        (in_two_minutes, 60, 121),
        (lambda: "Wed, 21 Oct 2099 07:28:00 GMT", 86_000, 86_400),
        (lambda: "99999999", 86_000, 86_400),
        (lambda: "9" * 400, 86_000, 86_400),
    ],
    ids=["seconds", "blanks", "int", "float", "date", "far", "long", "endless"],
)
def test_a_server_may_say_when_to_come_again_within_a_day(
    work: Work, asked: Callable[[], Any], least: float, most: float
) -> None:
    run = raised(work, Retry("503", retry_after=asked()))

    assert (run.state, run.failures, run.error) == ("pending", 1, "Retry: 503")
    assert least < (run.run_at - timezone.now()).total_seconds() <= most


@pytest.mark.parametrize("asked", ["0", 0.0, "Wed, 21 Oct 2015 07:28:00 GMT", "Sun Nov  6 08:49:37 1994"])
def test_a_time_that_has_passed_is_now(asked: str | float) -> None:
    assert Retry(retry_after=asked).delay_seconds == 0


NONSENSE: dict[str, Any] = {
    "nothing": None,
    "empty": "",
    "word": "soon",
    "negative": "-5",
    "nan": "nan",
    "exponent": "1e3",
    "hexadecimal": "0x10",
    "more": "120;",
    "NUL": "\0",
    "arabic": "\u0663",
    "no such day": "Wed, 99 Oct 2099 07:28:00 GMT",
    "no such year": "Wed, 21 Oct 99999 07:28:00 GMT",
    "no such zone": "1 Jan 1 0:0:0 +9999",
    "negative number": -5,
    "nan number": float("nan"),
    "infinite": float("inf"),
    "endless number": 10**5000,
    "bytes": b"120",
}


@pytest.mark.parametrize("asked", NONSENSE.values(), ids=NONSENSE)
def test_what_a_server_says_may_make_no_sense_and_then_the_backoff_counts(work: Work, asked: Any) -> None:
    run = raised(work, Retry(retry_after=asked))

    assert (run.state, run.failures) == ("pending", 1)
    assert 400 < (run.run_at - timezone.now()).total_seconds() <= 500


@pytest.mark.parametrize("other", [{"delay_seconds": 5}, {"at": datetime(2030, 1, 1, tzinfo=UTC)}], ids=["delay", "at"])
def test_a_retry_has_one_time(other: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^Retry: give delay_seconds, at or retry_after, and only one of them\.$"):
        Retry(retry_after="120", **other)


def test_a_retry_without_a_header_may_have_another_time() -> None:
    assert Retry(retry_after=None, delay_seconds=5).delay_seconds == 5


def test_the_attempt_after_499_failures_waits_as_long_as_the_backoff_says(work: Work) -> None:
    @job(max_attempts=1000, backoff={"mode": "exponential", "multiplier": 1000, "max_seconds": 7 * 86400, "jitter": 0})
    def fall(run: RunContext) -> None:
        raise ValueError

    run = queues.default.add("fall")
    Run.objects.filter(pk=run.pk).update(failures=499, attempt=499)

    work()

    run.refresh_from_db()
    assert (run.state, run.failures, run.attempt) == ("pending", 500, 500)
    assert 600_000 < (run.run_at - timezone.now()).total_seconds() <= 7 * 86400
