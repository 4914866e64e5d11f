"""Who works which queue."""

from __future__ import annotations

from datetime import datetime

from django_jobqueue.conf import get_config
from django_jobqueue.models import Worker


def is_alive(worker: Worker, *, now: datetime) -> bool:
    """Whether its latest heartbeat is younger than a lease: after that, others take its runs over."""
    config = get_config()
    leases = [config.queues[queue].lease_seconds for queue in worker.queues if queue in config.queues]
    return (now - worker.heartbeat_at).total_seconds() < min(leases, default=config.worker.lease_seconds)


def live_workers(*, now: datetime) -> list[Worker]:
    """The workers that live, whatever they work."""
    config = get_config()
    known = Worker.objects.using(config.database).filter(namespace=config.namespace)
    return [worker for worker in known if is_alive(worker, now=now)]
