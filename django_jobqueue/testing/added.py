"""What a test added: a list of it, and assertions about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from asgiref.sync import sync_to_async
from django.db.models import Max

from django_jobqueue.models import Run
from django_jobqueue.payloads import Payload
from django_jobqueue.queue import Job, Queue
from django_jobqueue.testing.wanted import Wanted, all_runs


@contextmanager
def recorded() -> Iterator[list[Run]]:
    """List the runs that are added in the block, in their order; the list is filled at the end of the block."""
    last: int = all_runs().aggregate(last=Max("pk"))["last"] or 0
    added: list[Run] = []
    yield added
    added += all_runs().filter(pk__gt=last)


def assert_added(
    job: Job[..., Any] | str,
    payload: Payload | None = None,
    *,
    queue: Queue | str | None = None,
    count: int | None = None,
    **columns: Any,
) -> list[Run]:
    """Assert that runs of *job* were added, *count* of them if given; return them in their order.

    Given a *payload*, only runs with exactly this payload count. *columns* are compared with those of the run, in any
    way that ``filter()`` knows: ``priority=5``, ``payload__order_id=7``, ``run_at__gt=now``.
    """
    __tracebackhide__ = True
    wanted = Wanted(job, payload, queue, columns)
    found = wanted.found()
    if len(found) == count or (found and count is None):
        return found
    raise AssertionError(wanted.told(count))


def assert_not_added(
    job: Job[..., Any] | str,
    payload: Payload | None = None,
    *,
    queue: Queue | str | None = None,
    **columns: Any,
) -> None:
    """Assert that no such run was added; see ``assert_added``."""
    __tracebackhide__ = True
    assert_added(job, payload, queue=queue, count=0, **columns)


aassert_added = sync_to_async(assert_added)
"""``assert_added``, from async code."""

aassert_not_added = sync_to_async(assert_not_added)
"""``assert_not_added``, from async code."""
