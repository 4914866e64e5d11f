"""Schedules, as code and settings declare them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django_jobqueue.conf import options
from django_jobqueue.conf.options import Function, Problems, at, parsed_by, parsers_of
from django_jobqueue.cron import Cron
from django_jobqueue.errors import ConfigError, InvalidSchedule, shown
from django_jobqueue.states import Misfire, Overlap
from django_jobqueue.zones import zone_named

YEAR_SECONDS = 366 * 86400.0


@contextmanager
def _at(path: str) -> Iterator[None]:
    """Let the ConfigError say where the InvalidSchedule was found."""
    try:
        yield
    except InvalidSchedule as error:
        raise ConfigError([f"{path}: {error}"]) from error


def _cron(path: str, value: object) -> str:
    with _at(path):
        return Cron.parse(value).expression


def _zone(path: str, value: object) -> str:
    with _at(path):
        return zone_named(value).key


def _payload(path: str, value: object) -> Mapping[str, Any] | Function:
    if isinstance(value, Mapping):
        return dict(value)
    try:
        return options.function(path, value)
    except ConfigError:
        wanted = "a mapping, a function, or the dotted path of one"
        raise ConfigError([f"{path}: must be {wanted}, got {shown(value)}"]) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleOptions:
    """When a job runs again and again, and what becomes of the due times at which it cannot."""

    cron: str | None = field(default=None, metadata=parsed_by(options.optional(_cron)))
    """A cron line of five fields, or a word such as ``@daily``. A schedule has either this or ``every_seconds``."""

    every_seconds: float | None = field(
        default=None, metadata=parsed_by(options.optional(options.number(1, YEAR_SECONDS)))
    )
    """Seconds from one due time to the next, from 1 to a year, whatever the clocks show."""

    timezone: str | None = field(default=None, metadata=parsed_by(options.optional(_zone)))
    """Name of the time zone whose clocks the cron line follows, such as ``Europe/Berlin``; None: the project's
    ``TIME_ZONE``."""

    starts_at: datetime | None = field(default=None, metadata=parsed_by(options.optional(options.moment)))
    """Not due before this: a datetime, or ISO-8601 text. An interval is first due at this very moment."""

    ends_at: datetime | None = field(default=None, metadata=parsed_by(options.optional(options.moment)))
    """Not due after this."""

    payload: Mapping[str, Any] | Function = field(default_factory=dict, metadata=parsed_by(_payload))
    """The payload of its runs; or a function that makes it, or the dotted path of one. It is called for each run, with its
    due time."""

    priority: int | None = field(default=None, metadata=parsed_by(options.optional(options.whole(-100, 100))))
    """Priority of its runs; None: the job's."""

    tags: tuple[str, ...] = field(default=(), metadata=parsed_by(options.labels))
    """Labels of its runs, in addition to those of the job."""

    misfire: Misfire = field(default=Misfire.FIRE_ONCE, metadata=parsed_by(options.member(Misfire)))
    """What becomes of due times that are more than a minute late, because no worker looked: ``fire_once`` makes one run for
    them all, ``skip`` makes none, ``catch_up`` makes one for each."""

    max_catch_up: int = field(default=100, metadata=parsed_by(options.whole(1, 1000)))
    """Most runs that ``catch_up`` makes, from 1 to 1000: for the latest due times."""

    overlap: Overlap = field(default=Overlap.ALLOW, metadata=parsed_by(options.member(Overlap)))
    """What becomes of a due time while an earlier run of the schedule is pending or running: ``allow`` makes another run,
    ``skip`` makes none, ``queue`` lets it wait until that run has ended."""

    enabled: bool = field(default=True, metadata=parsed_by(options.boolean))
    """Whether it is due at all."""


def parse_options(path: str, given: object) -> ScheduleOptions:
    """Parse the options of one schedule: a cron line, or a mapping of options, which must fit together."""
    if isinstance(given, str):
        given = {"cron": given}
    parsed = options.section(path, given, parsers_of(ScheduleOptions))
    schedule = ScheduleOptions(**parsed)
    if problems := [f"{path}: {flaw}" for flaw in _flaws(schedule, parsed.keys())]:
        raise ConfigError(problems)
    return schedule


def _flaws(schedule: ScheduleOptions, given: Collection[str]) -> Iterator[str]:
    if (schedule.cron is None) == (schedule.every_seconds is None):
        yield "a schedule has either cron or every_seconds"
    if schedule.timezone is not None and schedule.cron is None:
        yield "timezone: an interval is the same in every time zone"
    if "max_catch_up" in given and schedule.misfire != Misfire.CATCH_UP:
        yield f"max_catch_up: not read where misfire is {schedule.misfire.value!r}"
    if schedule.starts_at is not None and schedule.ends_at is not None and schedule.starts_at > schedule.ends_at:
        yield f"ends_at ({schedule.ends_at.isoformat()}) is before starts_at ({schedule.starts_at.isoformat()})"


def parse_of_job(path: str, value: object) -> dict[str, ScheduleOptions]:
    """Parse the schedules of a job: one, or a list of them. The one that has no name has the key ``""``."""
    problems, parsed = Problems(), {}
    for number, given in enumerate(value if isinstance(value, list | tuple) else [value]):
        where = f"{path}[{number}]" if isinstance(value, list | tuple) else path
        with problems.gathered():
            name, schedule = _parse_named(where, given)
            if name in parsed:
                raise ConfigError(
                    [f"{where}: another schedule of this job has the same name. Give it a name of its own"]
                )
            parsed[name] = schedule
    problems.raise_found()
    return parsed


def _parse_named(path: str, given: object) -> tuple[str, ScheduleOptions]:
    if not isinstance(given, Mapping) or "name" not in given:
        return "", parse_options(path, given)
    name = options.name(200)(at(path, "name"), given["name"])
    return name, parse_options(path, {key: value for key, value in given.items() if key != "name"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleConfig:
    """A schedule as the project's settings declare it, apart from any job."""

    queue: str = field(default="default", metadata=parsed_by(options.name(100)))
    """The queue of the job."""

    job: str = field(metadata=parsed_by(options.name(200)))
    """The job to run."""

    options: ScheduleOptions
    """All other options."""


def parse_in_settings(path: str, value: object) -> dict[str, ScheduleConfig]:
    """Parse the schedules of the project by their names."""
    return options.named(path, value, options.name(200), _parse_config)


def _parse_config(path: str, value: object) -> ScheduleConfig:
    given = dict(options.mapping(path, value))
    own = {key: given.pop(key) for key in parsers_of(ScheduleConfig) if key in given}
    parsed = options.section(path, own, parsers_of(ScheduleConfig))
    if "job" not in own:
        raise ConfigError([f"{path}: has no job"])
    return ScheduleConfig(**parsed, options=parse_options(path, given))
