"""The heartbeat: a worker says that it lives, and so keeps its leases."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from math import ceil, inf
from time import monotonic
from types import TracebackType
from typing import Self

from django.db.models import QuerySet
from django.utils import timezone

from django_jobqueue.conf import get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import Note
from django_jobqueue.models import Run, Worker
from django_jobqueue.models.now import Now
from django_jobqueue.operations.schedule_sync import declarations
from django_jobqueue.states import State
from django_jobqueue.worker import connections
from django_jobqueue.worker.connections import DATABASE_AWAY
from django_jobqueue.worker.leases import Interrupt, Lease, Leases, held
from django_jobqueue.worker.lock_waits import short_lock_waits
from django_jobqueue.worker.sessions import sessions_with
from django_jobqueue.worker.silence import short_silences

logger = logging.getLogger(__name__)

BEATS_PER_LEASE = 3
"""Two heartbeats may fail or be late before a lease is lost."""

NOTES_SECONDS = 1.0
"""Between two looks at what jobs have noted; a job may note more often than anybody wants to read."""

LAST_SECONDS = 5.0
"""What the heartbeat gets to sign off, when all else has ended."""

FEW = 4
"""So many runs may well come to one worker when they are free; more are shared by all."""

GONE_SECONDS = 0.5
"""A run that is not ours any more is just being settled by ourselves; or else, so much later, its lease is lost."""


class Heartbeat:
    """Renews the leases from a thread of its own, whatever the jobs and the main thread do, from start to end of a block.

    It carries what passes between running jobs and the database: it interrupts those that are asked to cancel, or whose
    lease is lost, and stores what they have noted. It sees when others miss their heartbeats. And it keeps the worker's
    row, which is there for people to look at.
    """

    def __init__(
        self,
        name: str,
        leases: Leases,
        *,
        queues: Mapping[str, int | None],
        concurrency: int,
        interrupt: Interrupt,
        prepare: Callable[[int], None],
    ) -> None:
        """*Interrupt* is given the attempt, and why. *Prepare* is told how many runs of others are likely to come here."""
        self._name = name
        self._leases = leases
        self._interrupt = interrupt
        self._prepare = prepare
        self._config = get_config()
        self._queues = dict(queues)
        self._concurrency = concurrency
        self._started_at = timezone.now()
        self._engine = engine_for(self._config.database)
        self._wake = threading.Event()
        self._stopped = self._hurried = False
        self._thread = threading.Thread(target=self._work, name="jobqueue-heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopped = True
        self._wake.set()
        self._thread.join(LAST_SECONDS)  # a database that does not answer must not keep the process from ending

    def hurry(self) -> None:
        """Let the next heartbeat come at once: there may be runs that were asked to cancel. Callable from any thread."""
        self._hurried = True
        self._wake.set()

    @property
    def interval(self) -> float:
        """Seconds between two heartbeats."""
        return min(self._config.queues[queue].lease_seconds for queue in self._queues) / BEATS_PER_LEASE

    def _work(self) -> None:
        with sessions_with(short_silences, short_lock_waits):
            self._beat_until_stopped()
            self._attempt(self._sign_off)
        connections.close_all()

    def _beat_until_stopped(self) -> None:
        beat_at = store_at = monotonic()
        while not self._is_over_at(min(beat_at, store_at)):
            if monotonic() >= beat_at or self._hurried:
                self._hurried = False
                beat_at = monotonic() + self.interval
                self._attempt(self._beat)
            if monotonic() >= store_at:
                store_at = monotonic() + NOTES_SECONDS
                self._attempt(self._store_notes)
                self._attempt(self._look_for_lost)

    def _is_over_at(self, until: float) -> bool:
        """Wait until then, or until somebody calls; answer whether that is to say that it is over."""
        self._wake.wait(until - monotonic())
        self._wake.clear()
        return self._stopped

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
            self._renew(leases)
        if late := self._late_elsewhere():
            self._prepare(max(min(late, FEW), ceil(late / self._workers())))
        seen = {"heartbeat_at": timezone.now(), "running": len(leases)}
        if not self._row().update(**seen):
            self._row().create(
                name=self._name,
                namespace=self._config.namespace,
                queues=list(self._queues),
                slots={queue: slots for queue, slots in self._queues.items() if slots is not None} or None,
                schedules=declarations(),
                concurrency=self._concurrency,
                started_at=self._started_at,
                **seen,
            )
        self._leases.beaten(self.interval)

    def _renew(self, leases: Sequence[Lease]) -> None:
        """Those that are still ours, and that nobody else has locked just now."""
        sent_at = monotonic()
        renewed = self._engine.renew([(lease.claim.ref, lease.seconds) for lease in leases])
        for lease in leases:
            lease.missed = lease.claim.ref not in renewed
            if not lease.missed:
                lease.renewed_at = sent_at
        if asked := [lease for lease in leases if renewed.get(lease.claim.ref)]:
            self._cancel(asked)

    def _cancel(self, asked: Sequence[Lease]) -> None:
        """Interrupt those jobs whose runs were asked to cancel; take note which are to be killed if they do not heed that."""
        runs = Run.objects.using(self._config.database).filter(pk__in=[lease.claim.id for lease in asked])
        forced = set(runs.filter(cancel_forced=True).values_list("pk", flat=True))
        for lease in asked:
            lease.ask_to_end("The run was cancelled.", self._interrupt)
            if lease.claim.id in forced:
                lease.kill_unless_ended()

    def _late_elsewhere(self) -> int:
        """How many leases others have not renewed for half their length: they have missed a heartbeat, or have vanished."""
        half = timedelta(seconds=self.interval * BEATS_PER_LEASE / 2)
        runs = Run.objects.using(self._config.database).filter(
            namespace=self._config.namespace,
            queue__in=list(self._queues),
            state=State.RUNNING,
            lease_until__lt=Now() + half,
        )
        return runs.exclude(worker=self._name)[: self._concurrency].count()

    def _workers(self) -> int:
        """How many living workers they may go to."""
        half = timedelta(seconds=self.interval * BEATS_PER_LEASE / 2)
        living = Worker.objects.using(self._config.database).filter(
            namespace=self._config.namespace, heartbeat_at__gte=timezone.now() - half
        )
        others = living.exclude(name=self._name).values_list("queues", flat=True)
        return 1 + sum(not self._queues.keys().isdisjoint(queues) for queues in others)

    def _look_for_lost(self) -> None:
        """Renew what the heartbeat has missed, without waiting for the next one; or find that it is not ours any more."""
        leases = [lease for lease in self._leases.all() if not lease.has_committed]
        missed = [lease for lease in leases if lease.missed and lease.kill_at == inf]
        if missed:
            self._renew(missed)
        still_ours = held([lease.claim.ref for lease in missed]) if missed else set()
        for lease in missed:
            if lease.claim.ref in still_ours:
                lease.gone_at = None
            elif lease.gone_at is None:
                lease.gone_at = monotonic()
            elif (
                lease.gone_at + GONE_SECONDS <= monotonic() and not lease.has_ended and lease.claim.ref in self._leases
            ):
                logger.warning(
                    "Lease lost: run %d (%s.%s) was taken over or deleted during attempt %d. Its job is asked to end.",
                    *(lease.claim.id, lease.claim.queue, lease.claim.job, lease.claim.attempt),
                )
                lease.ask_to_end("The run was taken over.", self._interrupt)
                lease.kill_unless_ended()

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
