"""Delays between attempts stay within what the options say, for any number of failures."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_jobqueue.retry import Backoff, RetryPolicy, crash_delay

pytestmark = pytest.mark.sqlite  # no database is asked

ANY_FAILURES = st.integers(1, 100_000)
ANY_CHANCE = st.randoms(use_true_random=False)

EXPONENTIAL = st.builds(
    Backoff,
    initial_seconds=st.floats(0, 604_800),
    max_seconds=st.floats(0, 604_800),
    multiplier=st.floats(1, 1000),
    jitter=st.floats(0, 1),
)


@dataclass
class Always:
    """Chance that always falls at the same share of the way: 0 is the least, 1 the most."""

    share: float

    def uniform(self, a: float, b: float) -> float:
        return a + self.share * (b - a)


def delays(backoff: Backoff, count: int) -> list[float]:
    return [backoff.delay(failures, random) for failures in range(1, count + 1)]


def test_exponential_delays_grow_up_to_the_maximum() -> None:
    backoff = Backoff(initial_seconds=5, multiplier=3, max_seconds=100, jitter=0)

    assert delays(backoff, 5) == [5, 15, 45, 100, 100]


def test_fixed_delays_stay_the_same_even_beyond_the_maximum_of_exponential_ones() -> None:
    backoff = Backoff(mode="fixed", initial_seconds=300, jitter=0)

    assert delays(backoff, 3) == [300, 300, 300]


def test_custom_delays_follow_the_list_and_repeat_its_last() -> None:
    backoff = Backoff(mode="custom", delays_seconds=(1, 60, 7), jitter=0)

    assert delays(backoff, 5) == [1, 60, 7, 7, 7]


@pytest.mark.parametrize(("share", "expected"), [(0, 7.5), (0.5, 10), (1, 12.5)])
@pytest.mark.parametrize(
    "backoff",
    [
        Backoff(initial_seconds=10, jitter=0.25),
        Backoff(mode="fixed", initial_seconds=10, jitter=0.25),
        Backoff(mode="custom", delays_seconds=(10,), jitter=0.25),
    ],
    ids=lambda backoff: backoff.mode,
)
def test_jitter_is_a_share_of_the_delay_either_way(backoff: Backoff, share: float, expected: float) -> None:
    assert backoff.delay(1, Always(share)) == expected


def test_delays_at_the_maximum_are_still_spread() -> None:
    backoff = Backoff(initial_seconds=60, max_seconds=60, jitter=0.2)

    assert [backoff.delay(9, Always(share)) for share in (0, 0.5, 1)] == [48, 54, 60]


def test_a_jitter_beyond_one_does_not_make_delays_negative() -> None:
    assert Backoff(jitter=3).delay(1, Always(0)) == 0


@pytest.mark.parametrize("multiplier", [2, 2.0, 1000.0])
def test_a_hundred_thousand_failures_do_not_overflow(multiplier: float) -> None:
    backoff = Backoff(multiplier=multiplier, jitter=0)

    assert backoff.delay(100_000, random) == 60


def test_no_delay_is_still_none_after_a_hundred_thousand_failures() -> None:
    assert Backoff(initial_seconds=0).delay(100_000, random) == 0


@given(backoff=EXPONENTIAL, failures=ANY_FAILURES, chance=ANY_CHANCE)
def test_an_exponential_delay_is_never_negative_and_never_over_the_maximum(
    backoff: Backoff, failures: int, chance: random.Random
) -> None:
    assert 0 <= backoff.delay(failures, chance) <= backoff.max_seconds


@given(failures=ANY_FAILURES, more=ANY_FAILURES)
def test_without_jitter_more_failures_never_wait_less(failures: int, more: int) -> None:
    backoff = Backoff(multiplier=1.01, max_seconds=3600, jitter=0)

    assert backoff.delay(failures + more, random) >= backoff.delay(failures, random)


def test_the_same_chance_gives_the_same_delays() -> None:
    backoff = Backoff()

    assert backoff.delay(4, random.Random(1)) == backoff.delay(4, random.Random(1))
    assert backoff.delay(4, random.Random(1)) != backoff.delay(4, random.Random(2))


def test_a_policy_gives_up_when_failures_reach_the_attempts() -> None:
    policy = RetryPolicy(max_attempts=3, backoff=Backoff(jitter=0))

    assert [policy.next_delay(failures, random) for failures in (1, 2, 3, 4)] == [1, 2, None, None]


def test_a_single_attempt_is_never_retried() -> None:
    assert RetryPolicy(max_attempts=1).next_delay(1, random) is None


def test_only_the_first_crash_is_made_good_at_once() -> None:
    assert [crash_delay(crashes) for crashes in (1, 2, 3)] == [0, 30, 30]
