"""``manage.py canceljobs``: cancel runs that have not ended."""

from __future__ import annotations

from django_jobqueue.management.command import operator
from django_jobqueue.management.many_runs import ManyRunsCommand
from django_jobqueue.models import RunQuerySet
from django_jobqueue.operations import cancel
from django_jobqueue.operations.run_filter import RunFilter
from django_jobqueue.states import State


class Command(ManyRunsCommand):
    help = (
        "Cancels runs: at once where they are pending. A running one is asked to cancel; it may still end well, but is not "
        "tried again."
    )
    verb = "Cancel"
    outcomes = {"cancelled": "cancelled", "asked": "running, and asked to cancel", "unchanged": "unchanged"}

    def chosen(self, asked: RunFilter) -> RunQuerySet:
        return asked.runs().live()

    def act(self, run_id: int, *, reason: str) -> str:
        done = cancel(run_id, actor=operator(), reason=reason)
        if not done.changed:
            return "unchanged"
        return "cancelled" if done.state == State.CANCELLED else "asked"
