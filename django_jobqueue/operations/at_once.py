"""The seam by which a test has runs worked as soon as they are added. In production nobody sets it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from typing import TypeAlias

from django_jobqueue.models import Run

Work: TypeAlias = Callable[[Sequence[int]], None]
"""Takes the ids of new runs, when all is written that belongs to adding them."""

working: ContextVar[Work | None] = ContextVar("django_jobqueue_at_once", default=None)
"""What works runs at once, in this context; None: they wait for a worker."""


def work_at_once(run_ids: Sequence[int]) -> None:
    """Have the runs worked now, if somebody asks for that."""
    if (work := working.get()) is not None:
        work(run_ids)


def worked_at_once(run: Run) -> Run:
    """*run*; worked, if it is new and somebody asks for that."""
    if run.added and working.get() is not None:
        work_at_once([run.pk])
        with suppress(Run.DoesNotExist):
            run.refresh_from_db(using=run._state.db)
    return run
