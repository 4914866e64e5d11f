"""What raises in the main thread of a child does so only while the job is called."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import pytest

from django_jobqueue import Cancel
from django_jobqueue.errors import AttemptTimedOut
from django_jobqueue.worker.interrupts import Interrupts


@pytest.fixture
def interrupts() -> Iterator[Interrupts]:
    """With the signals of this process, which get their handlers back."""
    numbers = (signal.SIGALRM, signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    yield Interrupts()
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def test_a_job_is_not_called_that_is_asked_to_end_before(interrupts: Interrupts) -> None:
    interrupts.why = "The run was cancelled."

    with pytest.raises(Cancel, match=r"The run was cancelled\."), interrupts.around(None):
        pytest.fail("it was called")


def test_each_signal_interrupts_the_job(interrupts: Interrupts) -> None:
    with pytest.raises(AttemptTimedOut), interrupts.around(60):
        signal.raise_signal(signal.SIGALRM)
    with pytest.raises(Cancel), interrupts.around(60):
        interrupts.cancel("The run was cancelled.")


def test_nothing_interrupts_what_comes_after_the_job(interrupts: Interrupts) -> None:
    with interrupts.around(60):
        pass

    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    signal.raise_signal(signal.SIGALRM)
    interrupts.cancel("The run was cancelled.")


@pytest.mark.parametrize(
    "grow_deaf",
    [
        lambda: signal.signal(signal.SIGALRM, signal.SIG_IGN),
        lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM]),
    ],
    ids=["ignored", "blocked"],
)
def test_the_job_after_one_that_grew_deaf_is_interrupted_all_the_same(
    interrupts: Interrupts, grow_deaf: Callable[[], object]
) -> None:
    with interrupts.around(60):
        grow_deaf()

    with pytest.raises(AttemptTimedOut), interrupts.around(60):
        signal.raise_signal(signal.SIGALRM)
