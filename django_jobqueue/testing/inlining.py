"""Inline mode: what is added in a test is worked at once, right where it is added."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from django.test.utils import TestContextDecorator

from django_jobqueue.operations import at_once
from django_jobqueue.testing.in_place import InPlaceWorker
from django_jobqueue.testing.worked import raise_failure


class inline(TestContextDecorator):  # noqa: N801  # it is used like a function, as Django's own are
    """While active, ``add()`` has its run worked before it returns; a block, or a decorator of a test or a ``TestCase``.

    The run goes through the database and through JSON, is tried again at once as often as its job allows, and leaves
    its attempts, in the transaction of the caller. What a job adds waits until that job has ended. A run for later
    stays pending, and so does one that snoozes. When a run has failed for good, its error is raised by ``add()``;
    with ``raise_errors=False`` it is only recorded, as by a worker.

    It holds in the context that entered it: other threads and other tests see nothing of it.
    """

    def __init__(self, *, raise_errors: bool = True, at_most: int = 1000) -> None:
        super().__init__()
        self._raise_errors = raise_errors
        self._at_most = at_most

    def enable(self) -> None:
        at_once.working.set(_Inline(at_once.working.get(), self._raise_errors, self._at_most))

    def disable(self) -> None:
        active = at_once.working.get()
        at_once.working.set(active.outer if isinstance(active, _Inline) else None)


class _Inline:
    """What works runs as they are added. *outer* is what did so before."""

    def __init__(self, outer: at_once.Work | None, raise_errors: bool, at_most: int) -> None:
        self.outer = outer
        self._raise_errors = raise_errors
        self._at_most = at_most

    def __call__(self, run_ids: Sequence[int]) -> None:
        waiting = deque(run_ids)
        worker = InPlaceWorker("inline", [], at_most=self._at_most, adding=waiting.extend)
        while waiting:
            worker.work_run(waiting.popleft())
        if self._raise_errors:
            raise_failure(worker.worked)
