"""Draining: a test has all that is due worked, and lets time pass."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from asgiref.sync import sync_to_async
from django.db.models import DateTimeField, F

from django_jobqueue.conf import get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.jobs import moments
from django_jobqueue.models import LimitBucket, QueueState, Run
from django_jobqueue.operations.expiring import expire_some
from django_jobqueue.queue import Queue
from django_jobqueue.queue import queues as all_queues
from django_jobqueue.states import State
from django_jobqueue.testing.committing import as_if_committed
from django_jobqueue.testing.in_place import InPlaceWorker
from django_jobqueue.testing.worked import Worked, raise_failure


def drain(
    *queues: Queue | str, advance_seconds: float = 0.0, raise_errors: bool = False, at_most: int = 1000
) -> list[Worked]:
    """Work what is due in *queues*, or in all, until nothing is; return the attempts in the order in which they ran.

    It claims, runs and settles as a worker does, in the thread and on the connection of the caller. Then it lets
    *advance_seconds* pass, working what becomes due, one moment after the other: retries, and runs for later. The
    clock stays as it is; all that is pending, and the end of a pause, comes so much nearer, for good.

    With *raise_errors*, the error of the first run whose last attempt failed is raised in the end.
    """
    names = [queue.name if isinstance(queue, Queue) else all_queues[queue].name for queue in queues]
    worker = InPlaceWorker("drain", names or _worked_here(), at_most=at_most, adding=None)
    _work_due(worker)
    left = moments.delay(advance_seconds, "advance_seconds")
    while left > 0:
        step = min(left, _until_due(names or _worked_here()))
        _let_pass(step)
        _work_due(worker)
        left -= step
    if raise_errors:
        raise_failure(worker.worked)
    return worker.worked


async def adrain(
    *queues: Queue | str, advance_seconds: float = 0.0, raise_errors: bool = False, at_most: int = 1000
) -> list[Worked]:
    """``drain``, from async code."""
    return await sync_to_async(drain)(
        *queues, advance_seconds=advance_seconds, raise_errors=raise_errors, at_most=at_most
    )


def _work_due(worker: InPlaceWorker) -> None:
    """Work what can be claimed; what expired before it could be is cancelled, as any worker does in passing."""
    worker.work_due()
    with as_if_committed():
        while expire_some():
            pass


def _until_due(queues: Sequence[str]) -> float:
    """Seconds until more is due. A queue where something is due and not to be had, because of a pause, has no say."""
    config = get_config()
    engine = engine_for(config.database)
    waits = [wait for queue in queues if (wait := engine.next_due(config.namespace, [queue])) is not None and wait > 0]
    return min(waits, default=float("inf"))


def _let_pass(seconds: float) -> None:
    config = get_config()
    pending = Run.objects.using(config.database).filter(namespace=config.namespace, state=State.PENDING)
    passed = timedelta(seconds=seconds)
    pending.update(run_at=F("run_at") - passed, expires_at=F("expires_at") - passed)
    paused = QueueState.objects.using(config.database).filter(namespace=config.namespace)
    paused.update(paused_until=F("paused_until") - passed)
    buckets = LimitBucket.objects.using(config.database).filter(namespace=config.namespace)
    columns = [field.name for field in LimitBucket._meta.concrete_fields if isinstance(field, DateTimeField)]
    buckets.update(**{column: F(column) - passed for column in columns})


def _worked_here() -> list[str]:
    return [name for name, queue in get_config().queues.items() if not queue.external]
