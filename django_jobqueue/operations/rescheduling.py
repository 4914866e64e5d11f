"""Rescheduling runs that wait."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q

from django_jobqueue.conf import get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.errors import InvalidArgument, RunNotPending
from django_jobqueue.models import Run
from django_jobqueue.operations import arguments
from django_jobqueue.operations.activities import Actor, author, record
from django_jobqueue.operations.operation import Auth, operation
from django_jobqueue.operations.runs import get
from django_jobqueue.operations.selection import run_by_id
from django_jobqueue.states import State
from django_jobqueue.transports.publisher import publish_on_commit


@operation("jobs.reschedule", auth=Auth.ADMIN)
def reschedule(
    run_id: int | str,
    *,
    actor: Actor,
    reason: str = "",
    next_run_at: datetime | str | None = None,
    delay_seconds: float | None = None,
    priority: int | None = None,
) -> Run:
    """Let a pending run start at another time, or in another order, and return it. The arguments are those of ``add``.

    Raises RunNotFound, RunNotPending, InvalidRun or InvalidArgument.
    """
    by = author(actor, reason)
    changes = _changes(next_run_at=next_run_at, delay_seconds=delay_seconds, priority=priority)
    in_time, unparked = Q(), {}
    if "run_at" in changes:
        in_time = Q(expires_at=None) | Q(expires_at__gt=changes["run_at"])
        unparked = {"blocked_on": None}  # the next claim that meets it parks it again, if it must wait
    with transaction.atomic(using=get_config().database):
        changed = run_by_id(run_id).filter(in_time, state=State.PENDING).update(**changes, **unparked)
        run = get(run_id)
        if run.state != State.PENDING:
            raise RunNotPending(run.pk, run.state)
        if not changed:
            raise InvalidArgument(f"Run {run.pk} expires at {run.expires_at}, so it would never start.")
        record(reschedule.key, by, run=run, detail={name: str(value) for name, value in changes.items()})
        publish_on_commit([run.queue])
    return run


def _changes(**given: Any) -> dict[str, Any]:
    """The columns to change, and their values."""
    timed = given["next_run_at"] is not None or given["delay_seconds"] is not None
    if not timed and given["priority"] is None:
        raise InvalidArgument("Give next_run_at, delay_seconds or priority: nothing else can be changed.")
    if given["next_run_at"] is not None and given["delay_seconds"] is not None:
        raise InvalidArgument("Give next_run_at or delay_seconds, not both.")
    changes = arguments.checked(given)
    delay = timedelta(seconds=changes.pop("delay_seconds", 0))
    moment = changes.pop("run_at", None)
    if timed:
        changes["run_at"] = (moment or engine_for(get_config().database).now()) + delay
    return changes
