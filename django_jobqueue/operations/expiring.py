"""Expiring: runs that were not started in time are cancelled."""

from __future__ import annotations

from django.db import transaction

from django_jobqueue.conf import external_queues, get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.operations.announcements import TO_CANCEL, announce_cancelled
from django_jobqueue.operations.selection import all_runs
from django_jobqueue.states import Reason, State

BATCH = 500


def expire_some() -> bool:
    """Cancel some of the runs whose time to start is over; answer whether there may be more."""
    database = get_config().database
    overdue = all_runs().filter(
        state=State.PENDING, expires_at__isnull=False, expires_at__lte=engine_for(database).now()
    )
    if external := external_queues():
        overdue = overdue.exclude(queue__in=external)
    if not overdue.exists():
        return False
    with transaction.atomic(using=database):
        # What somebody else holds is being claimed, cancelled or expired already.
        found = overdue.order_by("expires_at").only(*TO_CANCEL)
        runs = list(found.select_for_update(skip_locked=True)[:BATCH])
        all_runs().filter(pk__in=[run.pk for run in runs]).cancel_pending(Reason.EXPIRED)
        announce_cancelled(runs, Reason.EXPIRED)
    return len(runs) == BATCH
