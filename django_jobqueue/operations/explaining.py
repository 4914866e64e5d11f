"""Why is it waiting? One answer, for every face that is asked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db.models import Q

from django_jobqueue.conf import get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.errors import JobQueueError
from django_jobqueue.jobs import registry
from django_jobqueue.models import Activity, QueueState, Run
from django_jobqueue.operations import obstacles
from django_jobqueue.operations.obstacles import SHOWN_HOLDERS, Obstacle
from django_jobqueue.operations.operation import Auth, operation
from django_jobqueue.operations.runs import get
from django_jobqueue.operations.workers import live_workers
from django_jobqueue.states import State


@operation("jobs.explain", auth=Auth.USER)
def explain(run_id: int | str) -> list[Obstacle]:
    """Each rule that keeps a run from starting now; none, where the next claim takes it. Raises RunNotFound.

    The last two are no rules of a claim, but of what comes of it: that a worker lives, and that it knows the job.
    """
    run = get(run_id)
    if run.state != State.PENDING:
        return [obstacles.NotPending(state=run.state)]
    now = engine_for(get_config().database).now()
    return [*_times(run, now), *_pause(run, now), *_limits(run), *_worker(run, now)]


def _times(run: Run, now: datetime) -> Iterator[Obstacle]:
    if run.expires_at is not None and run.expires_at <= now:
        yield obstacles.Expired(since=run.expires_at)
    if run.run_at > now:
        yield obstacles.NotDue(until=run.run_at)


def _pause(run: Run, now: datetime) -> Iterator[Obstacle]:
    database = get_config().database
    paused = QueueState.objects.using(database).filter(
        Q(paused_until=None) | Q(paused_until__gt=now),
        namespace=run.namespace,
        queue=run.queue,
        job="",
        paused_at__isnull=False,
    )
    for state in paused:
        since = state.paused_at or now
        activities = Activity.objects.using(database).filter(
            namespace=run.namespace,
            operation="queues.pause",
            queue=run.queue,
            created_at__gte=since - timedelta(seconds=1),
        )
        activity = activities.order_by("created_at", "pk").last()
        yield obstacles.QueuePaused(
            queue=run.queue,
            since=since,
            until=state.paused_until,
            actor=activity.actor if activity else None,
            reason=activity.reason if activity else "",
        )


def _limits(run: Run) -> Iterator[Obstacle]:
    config = get_config()
    if run.blocked_on is not None:
        yield obstacles.Parked(on=run.blocked_on)
    most = config.queues[run.queue].concurrent_jobs if run.queue in config.queues else None
    if most is None:
        return
    running = Run.objects.using(config.database).filter(namespace=run.namespace, queue=run.queue, state=State.RUNNING)
    if running.count() >= most:
        holders = running.order_by("started_at", "pk").values_list("pk", flat=True)[:SHOWN_HOLDERS]
        yield obstacles.SlotsTaken(limit=f"Queue {run.queue!r}", most=most, held_by=tuple(holders))


def _worker(run: Run, now: datetime) -> Iterator[Obstacle]:
    try:
        known = registry.get(run.queue, run.job).options.version
    except JobQueueError as error:
        yield obstacles.JobUnusable(queue=run.queue, job=run.job, why=str(error))
    else:
        if run.version > known:
            why = f"it is of version {run.version} of the job, and this release knows {known}."
            yield obstacles.JobUnusable(queue=run.queue, job=run.job, why=why)
    if not any(run.queue in worker.queues for worker in live_workers(now=now)):
        yield obstacles.NoWorker(queue=run.queue)
