"""How many runs a worker claims ahead of its slots. No database is asked, nor a clock: attempts took what is said here."""

from __future__ import annotations

from typing import Any, cast

import pytest

from django_jobqueue.engines.base import Ref, Settlement
from django_jobqueue.states import Outcome, State
from django_jobqueue.worker.pace import SHORT_SECONDS, Pace
from django_jobqueue.worker.runner import Ended
from tests.worker.bench import WorkerThread

pytestmark = pytest.mark.sqlite


def hurried(worker: WorkerThread) -> WorkerThread:
    """A worker whose attempts have been short until now, so that it claims ahead."""
    worker.worker._desk._pace._mean_seconds = 0.001
    return worker


@pytest.fixture
def pace() -> Pace:
    """That of a worker with two slots."""
    return Pace(2)


def end(pace: Pace, seconds: float, number: int = 150) -> None:
    """Let so many attempts have ended, each after so many *seconds*."""
    settlement = Settlement(
        Ref(1, 1), outcome=Outcome.COMPLETED, state=State.COMPLETED, started=100.0, finished=100.0 + seconds
    )
    for _ in range(number):
        pace.add(Ended(cast(Any, None), settlement))


def test_nothing_is_claimed_ahead_until_many_short_attempts_have_ended(pace: Pace) -> None:
    assert pace.ahead() == 0

    end(pace, 0.001, number=10)

    assert pace.ahead() == 0


def test_as_much_is_claimed_ahead_as_the_slots_get_through_in_a_moment(pace: Pace) -> None:
    end(pace, 0.001)

    assert pace.ahead() == pytest.approx(100, abs=1)  # two slots, and 50 ms


def test_no_more_is_claimed_ahead_than_can_be_handed_back_easily(pace: Pace) -> None:
    end(pace, 0.0, number=1000)

    assert pace.ahead() == 1000


def test_nothing_is_claimed_ahead_while_attempts_are_not_short(pace: Pace) -> None:
    end(pace, SHORT_SECONDS * 1.01, number=1000)

    assert pace.ahead() == 0


def test_one_long_attempt_is_enough_to_claim_nothing_ahead_for_a_while(pace: Pace) -> None:
    end(pace, 0.001)
    end(pace, 1.0, number=1)

    assert pace.ahead() == 0


def test_what_was_known_is_forgotten_where_nothing_has_ended_for_long(pace: Pace) -> None:
    end(pace, 0.001)

    pace.reset()

    assert pace.ahead() == 0
