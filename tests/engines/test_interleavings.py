"""The fence of the engines lets nothing through, in whatever order things happen; and each part of it is needed."""

from __future__ import annotations

from itertools import combinations

import pytest

from django_jobqueue.states import Delivery
from tests.engines.interleavings import Interleavings

pytestmark = pytest.mark.sqlite  # no database is asked

WORKER_FENCE = frozenset({"running", "attempt"})
"""``settle``, ``renew`` and ``release``: ``attempt = %(attempt)s AND lease_until IS NOT NULL``."""
REAPER_FENCE = WORKER_FENCE | {"lease"}
"""``reap``, by a lock from when it reads to when it writes."""


@pytest.mark.slow
@pytest.mark.parametrize("delivery", Delivery)
def test_nothing_breaks_a_promise(delivery: Delivery) -> None:
    assert Interleavings(WORKER_FENCE, REAPER_FENCE, delivery).first_broken() is None


@pytest.mark.parametrize(
    ("fence", "broken"),
    [
        (set(), "final twice"),
        ({"running"}, "decided by who does not hold it"),
        ({"attempt"}, "final twice"),
    ],
    ids=str,
)
def test_less_of_the_fence_of_workers_breaks_one(fence: set[str], broken: str) -> None:
    assert str(Interleavings(frozenset(fence), REAPER_FENCE).first_broken()).startswith(broken)


@pytest.mark.parametrize(
    "fence", [fence for number in range(3) for fence in combinations(sorted(REAPER_FENCE), number)], ids="-".join
)
def test_less_of_the_fence_of_reapers_breaks_one(fence: tuple[str, ...]) -> None:
    broken = "a living attempt is reaped" if "running" in fence and "lease" not in fence else "decided by who does not"
    assert str(Interleavings(WORKER_FENCE, frozenset(fence)).first_broken()).startswith(broken)


def test_without_reapers_a_run_is_left_behind() -> None:
    broken = Interleavings(WORKER_FENCE, REAPER_FENCE, reapers=0).first_broken()
    assert broken == "stuck: worker 1 claims, worker 1 dies"
