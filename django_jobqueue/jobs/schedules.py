"""The schedules that code and settings declare, found together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django_jobqueue.conf import ScheduleOptions, get_config
from django_jobqueue.errors import ConfigError
from django_jobqueue.jobs.functions import function_of
from django_jobqueue.jobs.places import place_of
from django_jobqueue.jobs.registry import registry
from django_jobqueue.states import Origin

LONGEST_NAME = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredSchedule:
    """A schedule of code or settings."""

    name: str
    queue: str
    job: str
    origin: Origin
    options: ScheduleOptions

    @property
    def payload_function(self) -> Callable[..., Any] | None:
        """What makes the payload, if something does. Raises ConfigError where its path leads nowhere."""
        payload = self.options.payload
        return None if isinstance(payload, Mapping) else function_of(f"schedule {self.name!r}: payload", payload)

    @property
    def payload_path(self) -> str | None:
        """The dotted path of that function."""
        payload = self.options.payload
        if isinstance(payload, Mapping):
            return None
        return payload if isinstance(payload, str) else place_of(payload)

    @property
    def target(self) -> str:
        """The job, for messages."""
        return f"{self.queue}.{self.job}"


def declared_schedules() -> tuple[dict[str, DeclaredSchedule], list[str]]:
    """All schedules that code and settings declare, by name, and what is wrong with others, in sentences."""
    found: dict[str, DeclaredSchedule] = {}
    problems: list[str] = []
    for schedule in [*_of_settings(), *_of_jobs()]:
        if len(schedule.name) > LONGEST_NAME:
            problems.append(f"Schedule {schedule.name!r} has a name of more than {LONGEST_NAME} characters. Name it.")
        elif (queue := get_config().queues.get(schedule.queue)) is not None and queue.external:
            problems.append(
                f"Schedule {schedule.name!r}: queue {schedule.queue!r} is external. Declare it where it is worked."
            )
        elif schedule.name in found:
            problems.append(
                f"Schedule {schedule.name!r} is declared twice: for {found[schedule.name].target} and "
                f"{schedule.target}. Rename one."
            )
        else:
            found[schedule.name] = schedule
    return found, problems


def _of_settings() -> Iterator[DeclaredSchedule]:
    for name, schedule in get_config().schedules.items():
        yield DeclaredSchedule(
            name=name, queue=schedule.queue, job=schedule.job, origin=Origin.SETTINGS, options=schedule.options
        )


def _of_jobs() -> Iterator[DeclaredSchedule]:
    for queue in get_config().queues.values():
        for job in registry.names(queue.name):
            in_settings = job in queue.jobs and "schedule" in queue.jobs[job].options
            origin = Origin.SETTINGS if in_settings else Origin.CODE
            for name, options in _schedules_of(queue.name, job).items():
                yield DeclaredSchedule(
                    name=name or f"{queue.name}.{job}", queue=queue.name, job=job, origin=origin, options=options
                )


def _schedules_of(queue: str, job: str) -> Mapping[str, ScheduleOptions]:
    try:
        return registry.get(queue, job).options.schedule
    except ConfigError:  # the job cannot work; the system checks tell
        return {}
