"""The heartbeat: a worker says that it lives, and so keeps its leases."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from time import monotonic
from types import TracebackType
from typing import Self

from django.db.models import QuerySet
from django.utils import timezone

from django_jobqueue.conf import get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import Note
from django_jobqueue.jobs import declared_schedules
from django_jobqueue.models import Worker
from django_jobqueue.worker import connections
from django_jobqueue.worker.connections import DATABASE_AWAY
from django_jobqueue.worker.leases import Leases

logger = logging.getLogger(__name__)

BEATS_PER_LEASE = 3
"""Two heartbeats may fail or be late before a lease is lost."""

NOTES_SECONDS = 1.0
"""Between two looks at what jobs have noted; a job may note more often than anybody wants to read."""


class Heartbeat:
    """Renews the leases from a thread of its own, whatever the jobs and the main thread do, from start to end of a block.

    It carries what passes between running jobs and the database: it tells them that they are asked to cancel, and stores
    what they have noted. And it keeps the worker's row, which is there for people to look at.
    """

    def __init__(self, name: str, leases: Leases, *, queues: Sequence[str], concurrency: int) -> None:
        self._name = name
        self._leases = leases
        self._config = get_config()
        self._queues = list(queues)
        self._concurrency = concurrency
        self._started_at = timezone.now()
        self._engine = engine_for(self._config.database)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="jobqueue-heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def interval(self) -> float:
        """Seconds between two heartbeats."""
        return min(self._config.queues[queue].lease_seconds for queue in self._queues) / BEATS_PER_LEASE

    def _work(self) -> None:
        beat_at = store_at = monotonic()
        while not self._stop.wait(min(beat_at, store_at) - monotonic()):
            if monotonic() >= beat_at:
                beat_at = monotonic() + self.interval
                self._attempt(self._beat)
            if monotonic() >= store_at:
                store_at = monotonic() + NOTES_SECONDS
                self._attempt(self._store_notes)
        self._attempt(self._sign_off)
        connections.close_all()

    def _attempt(self, act: Callable[[], None]) -> None:
        try:
            act()
        except DATABASE_AWAY as error:
            logger.warning("Heartbeat failed, the next follows in %.1f s: %s", self.interval, error)
            connections.close_all()
        except Exception:  # whatever it is, the leases must not end with it
            logger.exception("Heartbeat failed, the next follows in %.1f s.", self.interval)

    def _beat(self) -> None:
        if leases := self._leases.all():
            renewed = self._engine.renew([(lease.claim.ref, lease.seconds) for lease in leases])
            for lease in leases:
                if lease.notes is not None and renewed.get(lease.claim.ref):
                    lease.notes.cancel_requested = True
        seen = {"heartbeat_at": timezone.now(), "running": len(leases)}
        if not self._row().update(**seen):
            self._row().create(
                name=self._name,
                namespace=self._config.namespace,
                queues=self._queues,
                schedules=sorted(declared_schedules()[0]),
                concurrency=self._concurrency,
                started_at=self._started_at,
                **seen,
            )

    def _store_notes(self) -> None:
        """Store what is new in one statement. What another transaction keeps from being stored is still new next time."""
        noted = {
            lease.claim.ref: (lease.notes, said)
            for lease in self._leases.all()
            if lease.notes is not None and (said := lease.notes.unstored())
        }
        if noted:
            for ref in self._engine.note([Note(*ref, *said) for ref, (_, said) in noted.items()]):
                notes, said = noted[ref]
                notes.stored(said)

    def _sign_off(self) -> None:
        self._row().delete()

    def _row(self) -> QuerySet[Worker]:
        return Worker.objects.using(self._config.database).filter(name=self._name)
