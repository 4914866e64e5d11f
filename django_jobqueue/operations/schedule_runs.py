"""The runs of schedules."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from time import monotonic
from typing import Any

from django_jobqueue.engines.base import NewRun
from django_jobqueue.errors import InvalidSchedule, JobQueueError, RunVetoed
from django_jobqueue.jobs import DeclaredSchedule, registry
from django_jobqueue.models import Schedule
from django_jobqueue.operations.new_runs import new_run

logger = logging.getLogger(__name__)

SLOW_SECONDS = 1.0
"""Functions of the project that take longer are warned of: their runs come late."""


def asks_project(schedule: Schedule) -> bool:
    """Whether functions of the project take part in making its runs. Such a one may take long, or never return."""
    if schedule.payload_function is not None:
        return True
    with suppress(JobQueueError):  # told when its run is made
        job = registry.find(schedule.queue, schedule.job)
        return job is not None and job.asks_project
    return False


def run_of(schedule: Schedule, due: datetime, declared: Mapping[str, DeclaredSchedule], **fields: Any) -> NewRun:
    """A run of *schedule* with these *fields*, whose payload is made for the time *due* if a function makes it.

    Raises InvalidSchedule, RunVetoed, what ``enqueue`` raises, and whatever the project's functions raise.
    """
    began = monotonic()
    payload = _payload(schedule, due, declared)
    tags = tuple(schedule.tags or ())
    new = new_run(schedule.queue, schedule.job, payload, priority=schedule.priority, tags=tags)
    if (seconds := monotonic() - began) > SLOW_SECONDS:
        logger.warning("Schedule %r took %.1f s to make a run. Keep its functions quick.", schedule.name, seconds)
    if new is None:
        raise RunVetoed(schedule.queue, schedule.job)
    return new._replace(schedule=schedule.pk, **fields)


def _payload(schedule: Schedule, fires_at: datetime, declared: Mapping[str, DeclaredSchedule]) -> Any:
    if schedule.payload_function is None:
        return schedule.payload
    if schedule.name not in declared:
        raise InvalidSchedule(f"{schedule.payload_function}, which makes its payload, is not known to this release.")
    function = declared[schedule.name].payload_function
    return schedule.payload if function is None else function(fires_at)
