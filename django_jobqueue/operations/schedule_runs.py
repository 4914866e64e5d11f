"""The runs of schedules."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from time import monotonic
from typing import Any

from django.db import transaction

from django_jobqueue.conf import get_config
from django_jobqueue.engines.base import NewRun
from django_jobqueue.errors import InvalidSchedule, RunVetoed
from django_jobqueue.jobs import DeclaredSchedule, registry
from django_jobqueue.models import Schedule
from django_jobqueue.operations.new_runs import new_run

logger = logging.getLogger(__name__)

SLOW_SECONDS = 1.0
"""Functions that take longer are warned of: the worker claims and settles nothing meanwhile."""


def run_of(schedule: Schedule, due: datetime, declared: Mapping[str, DeclaredSchedule], **fields: Any) -> NewRun:
    """A run of *schedule* with these *fields*, whose payload is made for the time *due* if a function makes it.

    Raises InvalidSchedule, RunVetoed, what ``enqueue`` raises, and whatever the project's functions raise.
    """
    with _guarded(schedule):
        payload = _payload(schedule, due, declared)
        tags = tuple(schedule.tags or ())
        new = new_run(schedule.queue, schedule.job, payload, priority=schedule.priority, tags=tags)
    if new is None:
        raise RunVetoed(schedule.queue, schedule.job)
    return replace(new, schedule=schedule.pk, **fields)


@contextmanager
def _guarded(schedule: Schedule) -> Iterator[None]:
    """Let the project's own functions fail, where the body calls any, but not break the transaction around."""
    job = registry.find(schedule.queue, schedule.job)
    if schedule.payload_function is None and (job is None or job.on_before_add is None):
        yield
        return
    began = monotonic()
    with transaction.atomic(using=get_config().database):
        yield
    if (seconds := monotonic() - began) > SLOW_SECONDS:
        logger.warning("Schedule %r took %.1f s to make a run. Keep its functions quick.", schedule.name, seconds)


def _payload(schedule: Schedule, fires_at: datetime, declared: Mapping[str, DeclaredSchedule]) -> Any:
    if schedule.payload_function is None:
        return schedule.payload
    if schedule.name not in declared:
        raise InvalidSchedule(f"{schedule.payload_function}, which makes its payload, is not known to this release.")
    function = declared[schedule.name].payload_function
    return schedule.payload if function is None else function(fires_at)
