"""The overview: for each queue of the settings what is declared, who works it, and whether it is paused."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from django_jobqueue.conf import QueueConfig, get_config
from django_jobqueue.jobs import registry
from django_jobqueue.operations.limit_figures import SetLimit, operated_limits
from django_jobqueue.operations.pauses import Pause, pauses
from django_jobqueue.operations.workers import live_workers


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueOverview:
    """How one queue stands."""

    config: QueueConfig
    jobs: list[str]
    """The names of its jobs."""
    workers: int
    """How many living workers listen to it."""
    pause: Pause | None
    """None where it is not paused."""
    paused_jobs: list[str]
    """Those of its jobs that are paused."""
    set_limits: list[SetLimit]
    """What operators have set over its limits, and those of its jobs."""

    @property
    def concurrent_jobs(self) -> int | None:
        """How many of its runs may be running at once now."""
        for limit in self.set_limits:
            if not limit.job and limit.limit == "concurrent_jobs":
                return int(limit.value)
        return self.config.concurrent_jobs


def overview(*, now: datetime) -> list[QueueOverview]:
    """All queues, in the order of the settings, in four queries at most."""
    workers = Counter(queue for worker in live_workers(now=now) for queue in worker.queues)
    queues = get_config().queues
    paused, limits = pauses(queues, now=now), operated_limits(queues, now=now)
    return [
        QueueOverview(
            config=config,
            jobs=registry.names(name),
            workers=workers[name],
            pause=paused.get((name, "")),
            paused_jobs=[job for queue, job in paused if queue == name and job],
            set_limits=limits[name],
        )
        for name, config in queues.items()
    ]
