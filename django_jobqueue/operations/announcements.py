"""What operations tell of, once it is committed: to those who listen, and to those who wait."""

from __future__ import annotations

from collections.abc import Iterable

from django_jobqueue.conf import get_config
from django_jobqueue.engines.base import Inserted, NewRun
from django_jobqueue.limiting.sweep import call_behind
from django_jobqueue.models import Run
from django_jobqueue.operations import at_once
from django_jobqueue.operations.counting import count_cancelled
from django_jobqueue.signals import RunCancelled, RunEnqueued, heard, send, send_on_commit
from django_jobqueue.states import Reason
from django_jobqueue.transports.publisher import publish_on_commit

TO_CANCEL = ["queue", "job", "state", "attempt", "priority", "run_at", "concurrency_key", "rate_key"]
"""The columns that are read of runs to cancel: whom it is told is found by them."""


def announce_enqueued(inserted: Iterable[tuple[NewRun, Inserted]]) -> None:
    """Tell of new runs, and what the database decided about each."""
    if not heard(RunEnqueued):
        return
    config = get_config()
    events = [
        RunEnqueued(
            namespace=config.namespace,
            run_id=row.id,
            queue=run.queue,
            job=run.job,
            run_at=row.run_at,
            replay_of=run.replay_of,
        )
        for run, row in inserted
    ]
    if at_once.working.get() is not None:  # it starts before the commit, and this comes before its start
        send(events)
    else:
        send_on_commit(events, using=config.database)


def announce_cancelled(runs: Iterable[Run], reason: Reason = Reason.CANCELLED) -> None:
    """Tell of runs that were pending and are cancelled: to the statistics, to who waits behind them, and to who listens.

    Workers are told, too, for whoever waits behind one may start now.
    """
    runs = list(runs)
    count_cancelled(runs)
    if limited := call_behind(runs):
        publish_on_commit(limited)
    if not heard(RunCancelled):
        return
    config = get_config()
    events = [
        RunCancelled(
            namespace=config.namespace,
            run_id=run.pk,
            queue=run.queue,
            job=run.job,
            attempt=run.attempt,
            reason=reason,
        )
        for run in runs
    ]
    send_on_commit(events, using=config.database)
