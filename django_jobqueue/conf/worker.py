"""The options of a worker: what each means, and what it is by default."""

from __future__ import annotations

from dataclasses import dataclass, field

from django_jobqueue.conf import options
from django_jobqueue.conf.job import DAY_SECONDS
from django_jobqueue.conf.options import parsed_by, parsers_of


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """How a worker works, where neither the queue nor the command line says otherwise."""

    lease_seconds: float = field(default=30.0, metadata=parsed_by(options.number(1, DAY_SECONDS)))
    """Seconds for which a claimed run belongs to its worker without a heartbeat, from 1 to 86400."""

    concurrency: int = field(default=8, metadata=parsed_by(options.whole(1, 1000)))
    """Attempts that one process runs at once, from 1 to 1000."""

    grace_seconds: float = field(default=25.0, metadata=parsed_by(options.number(0, DAY_SECONDS)))
    """Seconds that a worker gives its attempts to end when it is asked to stop, from 0 to 86400."""

    recycle_after_runs: int = field(default=1000, metadata=parsed_by(options.whole(1, 1_000_000)))
    """Attempts after which a child process is replaced by a new one, from 1 to 1000000."""

    recycle_after_megabytes: int | None = field(
        default=None, metadata=parsed_by(options.optional(options.whole(1, 1_000_000)))
    )
    """Megabytes of memory that a child process may take; one that takes more after an attempt is replaced by a new one.
    None: no limit. It has no effect where the system does not report memory (Linux does)."""

    recycle_after_leaks: int = field(default=4, metadata=parsed_by(options.whole(1, 1000)))
    """Attempts that were cut off but whose threads continue, after which a worker process exits with code 75 to be
    restarted. It also does so when no slot is left."""

    poll_seconds: float = field(default=1.4, metadata=parsed_by(options.number(0.01, 60)))
    """Seconds between two looks for work if nothing wakes the worker earlier, from 0.01 to 60. A worker looks every 1.4
    seconds in any case, for everything that may be due, in one statement."""


def parse_worker(path: str, value: object) -> WorkerConfig:
    return WorkerConfig(**options.section(path, value, parsers_of(WorkerConfig)))
