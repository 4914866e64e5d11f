"""Why is it waiting? One answer, for every face that is asked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django_jobqueue.conf import get_config
from django_jobqueue.errors import JobQueueError
from django_jobqueue.jobs import registry
from django_jobqueue.limiting.outlook import Outlook
from django_jobqueue.limits import Limit
from django_jobqueue.models import Run
from django_jobqueue.operations.limit_obstacles import limit_obstacles
from django_jobqueue.operations.obstacles import Obstacle, Rule, shown
from django_jobqueue.operations.operation import Auth, operation
from django_jobqueue.operations.pauses import Pause, pauses
from django_jobqueue.operations.runs import get
from django_jobqueue.operations.workers import live_workers
from django_jobqueue.states import State


@operation("jobs.explain", auth=Auth.USER)
def explain(run_id: int | str) -> list[Obstacle]:
    """Each rule that keeps a run from starting now. Raises RunNotFound.

    If there is none, the next claim takes it once those are taken that come before it. The rules ``external``,
    ``job_unusable`` and ``no_worker`` are no rules of a claim, but say that none comes, or what comes of it.
    """
    run = get(run_id)
    if run.state != State.PENDING:
        return list(_not_pending(run))
    outlook = Outlook(run)
    return [*_times(run, outlook), *_pauses(run, outlook), *limit_obstacles(run, outlook), *_workers(run, outlook.now)]


def _not_pending(run: Run) -> Iterator[Obstacle]:
    yield Obstacle(code=Rule.NOT_PENDING, sentence=f"It is {run.state}, and only a pending run can start.")
    if run.state == State.RUNNING and run.cancel_requested_at is not None:
        yield Obstacle(
            code=Rule.CANCEL_REQUESTED,
            sentence=f"It was asked to cancel at {shown(run.cancel_requested_at)}, and will not be tried again.",
            since=run.cancel_requested_at,
        )


def _times(run: Run, outlook: Outlook) -> Iterator[Obstacle]:
    if run.expires_at is not None and run.expires_at <= outlook.now:
        sentence = f"It expired at {shown(run.expires_at)}, and will be cancelled."
        yield Obstacle(code=Rule.EXPIRED, sentence=sentence, since=run.expires_at)
    if run.run_at > outlook.now and run.blocked_on is None:
        yield Obstacle(code=Rule.NOT_DUE, sentence=f"It is not due before {shown(run.run_at)}.", until=run.run_at)


def _pauses(run: Run, outlook: Outlook) -> Iterator[Obstacle]:
    found = pauses([run.queue], now=outlook.now)
    if (pause := found.get((run.queue, ""))) is not None:
        yield _paused(pause, Rule.QUEUE_PAUSED, f"Queue {run.queue!r}")
    name = outlook.rules.job_of(run.job)
    if (pause := found.get((run.queue, name))) is not None:
        yield _paused(pause, Rule.JOB_PAUSED, f"Job {name!r}", limit=str(Limit("pause", name)))


def _paused(pause: Pause, rule: Rule, name: str, limit: str | None = None) -> Obstacle:
    by = f" by {pause.actor}" if pause.actor else ""
    end = f" until {shown(pause.until)}" if pause.until else ""
    return Obstacle(
        code=rule,
        sentence=f"{name} is paused{end}, since {shown(pause.since)}{by}{f': {pause.reason}' if pause.reason else '.'}",
        limit=limit,
        since=pause.since,
        until=pause.until,
        actor=pause.actor,
        reason=pause.reason,
    )


def _workers(run: Run, now: datetime) -> Iterator[Obstacle]:
    queue = get_config().queues.get(run.queue)
    if queue is not None and queue.external:
        sentence = f"Another deployment works queue {run.queue!r}, by rules that are not known here."
        yield Obstacle(code=Rule.EXTERNAL, sentence=sentence)
    elif why := _unusable(run):
        yield Obstacle(code=Rule.JOB_UNUSABLE, sentence=f"This release cannot work it: {why}")
    worked = {worked for worker in live_workers(now=now) for worked in worker.queues}
    if run.queue not in worked:
        others = f", only {', '.join(map(repr, sorted(worked)))}" if worked else ""
        is_ours = queue is None or not queue.external
        where = f"Start one: manage.py runjobs {run.queue}" if is_ours else "Start one where it is worked."
        sentence = f"No live worker works queue {run.queue!r}{others}. {where}"
        yield Obstacle(code=Rule.NO_WORKER, sentence=sentence)


def _unusable(run: Run) -> str | None:
    """Why this release cannot work it."""
    try:
        known = registry.get(run.queue, run.job).options.version
    except JobQueueError as error:
        return str(error)
    if run.version > known:
        return f"it is of version {run.version} of the job, and this release knows {known}."
    return None
