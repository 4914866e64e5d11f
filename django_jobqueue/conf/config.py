"""The configuration: all of the settings.

Every option is one field of a dataclass. Its parser is in the metadata of the field, its meaning in the docstring below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.dispatch import receiver

from django_jobqueue.conf import options, schedules
from django_jobqueue.conf.cleanup import ProjectCleanup, parse_project_cleanup
from django_jobqueue.conf.contradictions import contradictions
from django_jobqueue.conf.job import DAY_SECONDS
from django_jobqueue.conf.options import parsed_by, parsers_of
from django_jobqueue.conf.queue import QueueConfig, parse_queues
from django_jobqueue.conf.schedules import ScheduleConfig
from django_jobqueue.conf.worker import WorkerConfig, parse_worker
from django_jobqueue.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All of ``settings.JOBQUEUE``."""

    queues: Mapping[str, QueueConfig] = field(metadata=parsed_by(parse_queues))
    """The queues by name. There is always one named ``default``."""

    database: str = field(default="default", metadata=parsed_by(options.database_alias))
    """Alias in ``DATABASES`` of the database that holds all our tables."""

    namespace: str = field(default="default", metadata=parsed_by(options.name(64)))
    """Deployments that share a database, each in a namespace of its own, never see each other's runs."""

    worker: WorkerConfig = field(default=WorkerConfig(), metadata=parsed_by(parse_worker))
    """How a worker works."""

    schedules: Mapping[str, ScheduleConfig] = field(
        default_factory=dict, metadata=parsed_by(schedules.parse_in_settings)
    )
    """Schedules by name, in addition to those of the jobs: mappings of schedule options with ``job``, and ``queue`` if it
    is not ``default``."""

    cleanup: ProjectCleanup = field(default=ProjectCleanup(), metadata=parsed_by(parse_project_cleanup))
    """How long to keep what belongs to no queue."""

    idempotency_seconds: float = field(
        default=7 * DAY_SECONDS, metadata=parsed_by(options.number(60, 90 * DAY_SECONDS))
    )
    """Seconds for which an ``idempotency_key`` is remembered, counted from the first ``add()`` that gave it, from
    60 to 7776000 (90 days)."""

    payload_max_bytes: int = field(default=256 * 1024, metadata=parsed_by(options.whole(1, 64 * 1024 * 1024)))
    """Most bytes that a payload may take as JSON in UTF-8, up to 64 MiB."""


QUEUES = 'JOBQUEUE["queues"]'


def external_queues() -> list[str]:
    """The queues that another deployment works."""
    return [name for name, queue in get_config().queues.items() if queue.external]


@cache
def get_config() -> Config:
    """Return the configuration of the project, read on the first call. Raises ConfigError with all that is wrong."""
    given = options.mapping("JOBQUEUE", getattr(settings, "JOBQUEUE", {}))
    # Its default is parsed too: a project need not have a database of that alias.
    parsed = options.section("JOBQUEUE", {"database": "default", **given}, parsers_of(Config))
    worker = parsed.get("worker", WorkerConfig())
    queues = {"default": {}, **parsed.pop("queues", {})}
    built = {
        name: QueueConfig(name=name, **{"lease_seconds": worker.lease_seconds, **queue})
        for name, queue in queues.items()
    }
    if problems := [
        f"{options.at(QUEUES, queue.name)}: {flaw}" for queue in built.values() for flaw in contradictions(queue)
    ]:
        raise ConfigError(problems)
    return Config(queues=built, **parsed)


@receiver(setting_changed)
def _forget(*, setting: str, **_: Any) -> None:
    if setting in {"JOBQUEUE", "DATABASES"}:
        get_config.cache_clear()
