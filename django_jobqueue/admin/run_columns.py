"""The columns of the list of runs."""

from __future__ import annotations

from datetime import datetime

from django.contrib import admin
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy

from django_jobqueue.admin import times
from django_jobqueue.admin.badges import run_badge
from django_jobqueue.models import Run
from django_jobqueue.states import State

SHOWN = [
    *("queue", "job", "state", "reason", "attempt", "failures", "worker"),
    *("run_at", "started_at", "finished_at", "cancel_requested_at", "blocked_on"),
]
"""The columns that the list reads; the large ones are not among them."""


@admin.display(description=gettext_lazy("run"))
def number(run: Run) -> str:
    return str(run.pk)


@admin.display(description=gettext_lazy("job"))
def name(run: Run) -> str:
    return format_html("{}.<wbr>{}", run.queue, run.job)


@admin.display(description=gettext_lazy("state"))
def standing(run: Run) -> str:
    return run_badge(run, now=timezone.now())


@admin.display(description=gettext_lazy("attempt"))
def tries(run: Run) -> str:
    return str(run.attempt) if run.attempt else "-"


@admin.display(description=gettext_lazy("when"))
def moment(run: Run) -> str:
    """When it ended, started, or is to start."""
    return times.relative(_moment(run), now=timezone.now())


@admin.display(description=gettext_lazy("duration"))
def duration(run: Run) -> str:
    """Of the latest attempt."""
    if run.started_at is None or run.state == State.PENDING:
        return "-"
    return times.between(run.started_at, run.finished_at or timezone.now())


@admin.display(description=gettext_lazy("worker"))
def worker_name(run: Run) -> str:
    return run.worker or "-"


def _moment(run: Run) -> datetime:
    if run.state == State.PENDING:
        return run.run_at
    return run.finished_at or run.started_at or run.run_at
