"""Cancelling runs."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction

from django_jobqueue.conf import get_config
from django_jobqueue.operations.activities import Actor, author, record
from django_jobqueue.operations.announcements import announce_cancelled
from django_jobqueue.operations.operation import Auth, operation
from django_jobqueue.operations.runs import get
from django_jobqueue.operations.selection import run_by_id
from django_jobqueue.signals import RunCancelled
from django_jobqueue.states import State
from django_jobqueue.transports.publisher import publish_on_commit


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation:
    """What came of cancelling a run. True, if anything was changed."""

    run_id: int
    changed: bool
    state: State
    """Of the run now: cancelled, or running, and asked to cancel; or in which it had ended before."""

    def __bool__(self) -> bool:
        return self.changed


@operation("jobs.cancel", auth=Auth.USER, emits=[RunCancelled])
def cancel(run_id: int | str, *, actor: Actor, reason: str = "", force: bool = False) -> Cancellation:
    """Cancel a run: at once while it is pending; while it runs, it is asked to, and will not be tried again.

    By *force*, the process of a job that does not heed that is killed. A job in a thread or on the event loop shares its
    process with others, and is asked, as without. Cancelling twice, or what has ended, changes nothing. Raises RunNotFound.
    """
    by = author(actor, reason)
    found = run_by_id(run_id)
    with transaction.atomic(using=get_config().database):
        cancelled = bool(found.cancel_pending())
        changed = cancelled or bool(found.request_cancel(force=force))
        run = get(run_id)
        if changed:
            record(cancel.key, by, run=run, detail={"force": True} if force else None)
        if cancelled:
            announce_cancelled([run])
        elif changed:
            publish_on_commit([run.queue], cancel=True)
    return Cancellation(run_id=run.pk, changed=changed, state=State(run.state))
