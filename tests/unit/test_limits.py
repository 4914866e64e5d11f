"""Limits as pure policy: what holds whom, what a token is worth, who may start beside what is running."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_jobqueue.limits import Allowance, Bucket, Candidate, Limit, QueueRules, Rate, Rules

pytestmark = pytest.mark.sqlite  # no database is asked

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def run(run_id: int = 1, job: str = "send", key: str | None = None, **fields: Any) -> Candidate:
    return Candidate(run_id, 0, NOON, job, key, **fields)


# --- What a run is parked on ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        (Limit("pause", "send"), "pause:send"),
        (Limit("job", "send"), "job:send"),
        (Limit("key", "", "7"), "key:/7"),
        (Limit("key", "send", "7"), "key:send/7"),
        (Limit("key", "a:b", "c/d:e"), "key:a:b/c/d:e"),
        (Limit("key", "", "/"), "key://"),
        (Limit("rate", "", None), "rate:"),
        (Limit("rate", "", "7"), "rate:/7"),
        (Limit("rate", "send", None), "rate:send"),
        (Limit("rate", "send", "7"), "rate:send/7"),
    ],
)
def test_a_limit_is_told_by_its_text(limit: Limit, text: str) -> None:
    assert str(limit) == text
    assert Limit.parse(text) == limit


def test_the_longest_text_fits_into_its_column() -> None:
    from django_jobqueue.models import LimitBucket, Run

    longest = len(str(Limit("rate", "j" * 200, "k" * 255)))
    columns = Run._meta.get_field("blocked_on"), LimitBucket._meta.get_field("key")
    assert [longest <= (column.max_length or 0) for column in columns] == [True, True]


@pytest.mark.parametrize(
    ("limit", "other", "covers"),
    [
        (Limit("job", "send"), Limit("key", "send", "7"), True),
        (Limit("job", "send"), Limit("key", "", "7"), False),
        (Limit("pause", "send"), Limit("job", "send"), True),
        (Limit("job", "send"), Limit("job", "post"), False),
        (Limit("rate"), Limit("key", "", "7"), True),
        (Limit("rate"), Limit("job", "send"), True),
        (Limit("rate", "", "7"), Limit("job", "send"), False),
        (Limit("key", "send", "7"), Limit("job", "send"), False),
        (Limit("key", "send", "7"), Limit("key", "send", "7"), True),
    ],
)
def test_a_limit_covers_another_if_it_holds_all_that_the_other_can_hold(
    limit: Limit, other: Limit, covers: bool
) -> None:
    assert limit.covers(other) is covers


# --- Rates -----------------------------------------------------------------------------------------------------------------


@given(
    count=st.integers(1, 50),
    seconds=st.sampled_from([1, 60, 3600]),
    burst=st.integers(1, 10),
    waits=st.lists(st.floats(0, 100), max_size=60),
)
def test_no_more_than_a_burst_and_what_has_come_since_is_taken(
    count: int, seconds: int, burst: int, waits: list[float]
) -> None:
    rate = Rate(count, seconds, burst)
    bucket, now, taken = Bucket.full(rate, NOON), NOON, []
    for wait in waits:
        now += timedelta(seconds=wait)
        bucket.refill(now)
        if bucket.whole_tokens:
            bucket.take()
            taken.append(now)

    for first in range(len(taken)):
        for last in range(first, len(taken)):
            allowed = burst + (taken[last] - taken[first]) / rate.interval
            assert last - first + 1 <= allowed + 1e-3


@given(count=st.integers(1, 1000), seconds=st.sampled_from([1, 7, 60, 3600, 86400]), burst=st.integers(1, 5))
def test_who_waits_until_the_time_of_a_token_finds_one(count: int, seconds: int, burst: int) -> None:
    bucket = Bucket.full(Rate(count, seconds, burst), NOON)
    for _ in range(burst):
        bucket.take()
    assert bucket.whole_tokens == 0

    for _ in range(5):
        bucket.refill(bucket.next_at)
        assert bucket.whole_tokens == 1
        bucket.take()


def test_a_clock_that_goes_back_gives_and_takes_nothing_and_counts_from_then_on() -> None:
    bucket = Bucket.full(Rate(1, 1, burst=5), NOON)
    bucket.take()
    bucket.take()

    bucket.refill(NOON - 100 * SECOND)
    assert bucket.tokens == 3
    bucket.refill(NOON - 99 * SECOND)
    assert bucket.tokens == 4


@pytest.mark.parametrize(("tokens", "seconds"), [(0.0, 10), (0.25, 7.5), (1.0, 10), (1.9, 1), (1.9999999, 10)])
def test_a_bucket_knows_when_it_has_one_more_token(tokens: float, seconds: float) -> None:
    bucket = Bucket(Rate(6, 60, burst=3), tokens, NOON)

    assert bucket.grows_at is not None
    assert (bucket.grows_at - NOON).total_seconds() == pytest.approx(seconds, abs=1e-5)


def test_a_full_bucket_gets_no_more_tokens() -> None:
    assert Bucket.full(Rate(6, 60, burst=3), NOON).grows_at is None


def test_those_who_queue_up_are_promised_one_token_after_the_other() -> None:
    bucket = Bucket.full(Rate(1, 10), NOON)
    bucket.take()

    assert [bucket.queue_up() - NOON for _ in range(3)] == [10 * SECOND, 20 * SECOND, 30 * SECOND]
    bucket.refill(NOON + 10 * SECOND)
    assert bucket.queue_up() - NOON == 40 * SECOND
    bucket.count(0)
    assert bucket.queue_up() - NOON == 10 * SECOND


# --- The allowance -------------------------------------------------------------------------------------------------------------


def test_a_queue_without_rules_holds_nobody() -> None:
    rules = QueueRules()
    allowance = Allowance(rules, [("send", "7", 1000)])

    assert not rules.limited
    assert allowance.room is None
    assert [allowance.admit(run(number, key="7")) for number in range(5)] == [None] * 5


def test_what_is_running_counts_in_every_limit_that_it_falls_under() -> None:
    rules = QueueRules(
        Rules(concurrent_jobs=10, concurrent_jobs_per_key=3),
        {"send": Rules(concurrent_jobs=4), "post": Rules(concurrent_jobs_per_key=2)},
    )
    allowance = Allowance(rules, [("send", "7", 2), ("send", None, 1), ("post", "7", 1), ("other", "7", 1)])

    assert allowance.room == 5
    assert allowance.free(Limit("job", "send")) == 1
    assert allowance.free(Limit("key", "", "7")) == 0
    assert allowance.free(Limit("key", "post", "7")) == 1
    assert allowance.free(Limit("job", "other")) is None


def test_an_early_run_of_a_key_is_not_overtaken() -> None:
    allowance = Allowance(QueueRules(Rules(concurrent_jobs_per_key=1, keep_order=True)), [])
    allowance.heads[Limit("key", "", "7")] = 5

    assert allowance.admit(run(6, key="7")) == Limit("key", "", "7")
    assert allowance.admit(run(5, key="7")) is None
    assert allowance.admit(run(6, key="7")) == Limit("key", "", "7")


def test_one_who_waits_for_the_job_keeps_the_slot_of_its_key_in_the_job() -> None:
    rules = QueueRules(jobs={"send": Rules(concurrent_jobs=1, concurrent_jobs_per_key=1)})
    allowance = Allowance(rules, [("send", "x", 1)])

    assert allowance.admit(run(1, key="7")) == Limit("job", "send")
    assert allowance.admit(run(2, key="7")) == Limit("key", "send", "7")


def test_one_who_is_held_passes_by_the_slots_that_others_may_take() -> None:
    rules = QueueRules(Rules(concurrent_jobs_per_key=1), {"send": Rules(concurrent_jobs=2)})
    allowance = Allowance(rules, [("post", "7", 1)])
    held = run(key="7")

    assert allowance.admit(held) == Limit("key", "", "7")
    assert list(allowance.passed_by(held, Limit("key", "", "7"))) == [Limit("job", "send")]

    full = Allowance(rules, [("send", "8", 2)])
    assert full.admit(held) == Limit("job", "send")
    assert list(full.passed_by(held, Limit("job", "send"))) == [Limit("key", "", "7")]


def test_newcomers_leave_the_tokens_to_those_who_wait() -> None:
    rules = QueueRules(Rules(rate=Rate(1, 1, burst=2), rate_per_key=False))
    allowance = Allowance(rules, [])
    bucket = allowance.buckets[Limit("rate")] = Bucket.full(Rate(1, 1, burst=2), NOON, waiting=1)

    assert allowance.admit(run(1)) is None  # two tokens, and one waits
    assert allowance.admit(run(2)) == Limit("rate")
    assert allowance.admit(run(3, blocked_on="rate:")) is None
    assert bucket.whole_tokens == 0
