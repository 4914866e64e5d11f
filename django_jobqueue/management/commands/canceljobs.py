"""``manage.py canceljobs``: cancel runs that have not ended."""

from __future__ import annotations

from django_jobqueue.management.many_runs import ManyRunsCommand
from django_jobqueue.operations import cancel_many


class Command(ManyRunsCommand):
    help = (
        "Cancels runs: at once where they are pending. A running one is asked to cancel; it may still end well, but is not "
        "tried again."
    )
    verb = "Cancel"
    operation = cancel_many
    counted = {"cancelled": "cancelled", "asked": "running and asked to cancel"}
