"""The options of a queue: what each means, and what it is by default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django_jobqueue.conf import options
from django_jobqueue.conf.cleanup import Cleanup, parse_cleanup
from django_jobqueue.conf.job import DAY_SECONDS, JobConfig, JobOptions, parse_jobs
from django_jobqueue.conf.options import parsed_by, parsers_of
from django_jobqueue.errors import ConfigError
from django_jobqueue.limits import Rate


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueConfig:
    """How one queue is worked. Job options that stand among its own are the defaults of its jobs."""

    name: str
    """The key of the queue in ``queues``."""

    jobs: Mapping[str, JobConfig] = field(default_factory=dict, metadata=parsed_by(parse_jobs))
    """The jobs of the queue by name: dotted paths, or mappings of options with ``run``. Code may declare more."""

    job_defaults: Mapping[str, Any] = field(default_factory=dict)
    """The job options that are given at the queue, parsed."""

    concurrent_jobs: int | None = field(default=None, metadata=parsed_by(options.optional(options.whole(1))))
    """Attempts that may run at once, across all workers; None: limited only by the workers' slots."""

    concurrent_jobs_per_key: int | None = field(default=None, metadata=parsed_by(options.optional(options.whole(1))))
    """Attempts of the same ``concurrency_key`` that may run at once, across all workers, and all jobs of the queue that do
    not declare their own."""

    keep_order: bool = field(default=False, metadata=parsed_by(options.boolean))
    """Whether the runs of the same ``concurrency_key`` are worked in the order of adding, retries included. Requires
    ``concurrent_jobs_per_key`` 1."""

    rate_limit: Rate | None = field(default=None, metadata=parsed_by(options.optional(options.rate)))
    """Most attempts that may start in a period, across all workers, such as "100/m": of the queue as a whole, or, if it
    declares a ``rate_key``, of each key."""

    rate_burst: int = field(default=1, metadata=parsed_by(options.whole(1)))
    """Attempts that may start at once after ``rate_limit`` was not used up for a while."""

    weight: int = field(default=1, metadata=parsed_by(options.whole(1, 1000)))
    """Share of a worker's slots while other queues of the worker have due runs too, from 1 to 1000: a queue of weight 3
    holds three times as many as one of weight 1. Ignored by ``runjobs --strict``."""

    batch_size: int = field(default=500, metadata=parsed_by(options.whole(1, 1000)))
    """Most runs that a worker claims at once, from 1 to 1000."""

    lease_seconds: float = field(metadata=parsed_by(options.number(1, DAY_SECONDS)))
    """Seconds for which a claimed run belongs to its worker without a heartbeat, from 1 to 86400. By default that of
    ``worker``."""

    run_on_startup: bool = field(default=True, metadata=parsed_by(options.boolean))
    """Whether a ``runjobs`` that names no queue works this one."""

    cleanup: Cleanup = field(default=Cleanup(), metadata=parsed_by(parse_cleanup))
    """How long ended runs are kept."""

    external: bool = field(default=False, metadata=parsed_by(options.boolean))
    """Whether another deployment of the same namespace works the queue. Here you can only add runs: any job whose name is
    valid, with any JSON payload. No worker of this deployment claims, reaps, expires or purges its runs."""


_OF_WHO_WORKS_IT = frozenset(parsers_of(QueueConfig)) - {"external"}


def _parse_queue(path: str, value: object) -> dict[str, Any]:
    own, of_jobs = parsers_of(QueueConfig), parsers_of(JobOptions)
    del of_jobs["schedule"]  # no two jobs have the same
    parsed = options.section(path, value, of_jobs | own)
    if parsed.get("external") and (unread := parsed.keys() & _OF_WHO_WORKS_IT):
        raise ConfigError(
            [
                f"{options.at(path, option)}: not read, as whoever works an external queue decides"
                for option in sorted(unread)
            ]
        )
    defaults = {option: parsed.pop(option) for option in of_jobs if option in parsed and option not in own}
    return {**parsed, "job_defaults": defaults}


def parse_queues(path: str, value: object) -> dict[str, dict[str, Any]]:
    """Return what each queue is given. Its lease may depend on another section, so it is not built yet."""
    return options.named(path, value, options.name(100), _parse_queue)
