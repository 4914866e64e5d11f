"""Whether all is well: what a monitor asks of workers and queues, and a probe of one process."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django_jobqueue.durations import span
from django_jobqueue.models import Worker
from django_jobqueue.operations import RunFilter, stats
from django_jobqueue.operations.overview import QueueOverview, overview
from django_jobqueue.operations.statistics import Figures, oldest_due_age
from django_jobqueue.operations.workers import live_workers
from django_jobqueue.worker.liveness import files_of_workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is still well."""

    oldest_due_seconds: float
    dead_letters: int | None = None
    """How many runs may have been dead-lettered lately; None for any number."""
    lately_seconds: float = 3600.0
    here: bool = False
    """Whether a worker of this host must live."""


@dataclass(slots=True, kw_only=True)
class Health:
    """What was found; all is well where there are no problems."""

    problems: list[str] = field(default_factory=list)
    workers: list[dict[str, Any]] = field(default_factory=list)
    queues: list[dict[str, Any]] = field(default_factory=list)
    dead_lettered: int | None = None


def look_at_queues(names: Sequence[str], limits: Limits, *, now: datetime) -> Health:
    """Ask the database about these queues; or about all that are worked here, where none is named."""
    queues = [
        queue
        for queue in overview(now=now)
        if (queue.config.name in names if names else queue.config.run_on_startup and not queue.config.external)
    ]
    workers = live_workers(now=now)
    figures = stats().queues
    health = Health(workers=[_worker(worker, now) for worker in workers])
    for queue in queues:
        health.queues.append(_queue(queue, figures[queue.config.name]))
        health.problems += _problems(queue, figures[queue.config.name], limits)
    if limits.here and not any(worker.name.startswith(f"{socket.gethostname()}:") for worker in workers):
        health.problems.append(f"No worker is alive on this host, {socket.gethostname()}.")
    if limits.dead_letters is not None:
        health.dead_lettered = _dead_lettered([queue.config.name for queue in queues], limits, now)
        if health.dead_lettered > limits.dead_letters:
            told = f"{health.dead_lettered} runs were dead-lettered in the last {span(limits.lately_seconds)}"
            health.problems.append(f"{told}, more than {limits.dead_letters}.")
    return health


def look_at_file(path: Path, within_seconds: float) -> Health:
    """Look at the liveness file of a process, and at those of the workers that it supervises; never at the database."""
    files = [path, *files_of_workers(path)]
    health = Health()
    for file in files:
        try:
            age = time.time() - file.stat().st_mtime
        except OSError as error:
            health.problems.append(f"{file} cannot be found: {error.strerror}.")
            continue
        health.workers.append({"file": str(file), "age_seconds": round(age, 3)})
        if age > within_seconds:
            health.problems.append(f"{file} was touched {span(age)} ago, more than {span(within_seconds)}.")
    return health


def _problems(queue: QueueOverview, figures: Figures, limits: Limits) -> Iterator[str]:
    """What is wrong with a queue. One that is paused may wait, and so may the runs of jobs that are."""
    name, seconds = queue.config.name, figures.oldest_due_age_seconds
    if queue.paused_jobs:
        seconds = oldest_due_age(name, besides=queue.paused_jobs)
    if queue.pause is not None or seconds is None:
        return
    if not queue.workers:
        yield f"Queue {name!r} has due runs, and no worker."
    if seconds > limits.oldest_due_seconds:
        told = f"The oldest run of queue {name!r} has been due for {span(seconds)}"
        yield f"{told}, more than {span(limits.oldest_due_seconds)}."


def _dead_lettered(queues: Sequence[str], limits: Limits, now: datetime) -> int:
    since = now - timedelta(seconds=limits.lately_seconds)
    return RunFilter(states=["dead_lettered"], since=since).runs().filter(queue__in=queues).count()


def _queue(queue: QueueOverview, figures: Figures) -> dict[str, Any]:
    return {
        "queue": queue.config.name,
        "workers": queue.workers,
        "paused": queue.pause is not None,
        "paused_jobs": queue.paused_jobs,
        "pending": figures.pending,
        "running": figures.running,
        "oldest_due_age_seconds": figures.oldest_due_age_seconds,
    }


def _worker(worker: Worker, now: datetime) -> dict[str, Any]:
    return {
        "worker": worker.name,
        "queues": worker.queues,
        "running": worker.running,
        "heartbeat_age_seconds": round((now - worker.heartbeat_at).total_seconds(), 3),
    }
