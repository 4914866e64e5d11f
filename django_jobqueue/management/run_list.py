"""A list of runs, a line each: for programs and for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django_jobqueue.management.output import Cell
from django_jobqueue.management.times import relative
from django_jobqueue.models import Run
from django_jobqueue.operations.run_filter import RunFilter
from django_jobqueue.operations.visible import TOLD, Visible

COLUMNS = [
    "id", "queue", "job", "state", "reason", "priority", "run_at", "attempt", "failures", "crashes", "created_at",
    "started_at", "finished_at", "worker", "blocked_on", "tags", "tenant", "user", "trace_id", "error",
]  # fmt: skip
"""What programs get of a run: nothing that may be large. Secrets of its payload are starred."""

TITLES = ["run", "state", "job", "attempt", "when", "error"]

STYLES = {"completed": "SUCCESS", "failed": "ERROR", "dead_lettered": "ERROR", "retrying": "WARNING"}


def newest(asked: RunFilter, limit: int) -> list[Run]:
    """The newest runs that are *asked* for, up to so many."""
    return list(asked.newest_first().only(*COLUMNS, "version", "payload")[:limit])  # a payload tells what is secret


def records(runs: Sequence[Run]) -> list[dict[str, Any]]:
    return [{column: _shown(run, column) for column in COLUMNS} for run in runs]


def rows(runs: Sequence[Run], *, now: datetime) -> list[list[Cell]]:
    """Under TITLES: *when* it ended, or else started, or will be due."""
    return [
        [
            str(run.pk),
            run.standing(now=now).replace("_", "-"),
            f"{run.queue}.{run.job}",
            run.attempt,
            relative(run.finished_at or (run.started_at if run.lease_until else None) or run.run_at, now=now),
            _shown(run, "error"),
        ]
        for run in runs
    ]


def style(run: Run, *, now: datetime) -> str:
    """The colour of Django's palette for its line."""
    return STYLES.get(run.standing(now=now), "")


def _shown(run: Run, column: str) -> Any:
    value = getattr(run, column)
    return Visible(run, secrets=False).value(value) if value and column in TOLD else value
