"""``manage.py showschedules``: the schedules, when they are due next, and what came of the last due time."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.utils import timezone

from django_jobqueue.management.arguments import add_format
from django_jobqueue.management.command import JobQueueCommand
from django_jobqueue.management.output import as_csv, as_json, as_table
from django_jobqueue.management.times import local, relative
from django_jobqueue.models import Schedule
from django_jobqueue.operations import schedule_list
from django_jobqueue.operations.schedule_sync import schedule_problems, sync_schedules

FIELDS = (
    "name",
    "state",
    "times",
    "queue",
    "job",
    "next_run_at",
    "last_run_at",
    "last_run_id",
    "outcome",
    "misfire",
    "overlap",
    "origin",
    "overrides",
)


class Command(JobQueueCommand):
    help = "Shows the schedules: when each is due next, and what came of its last due time."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_format(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        sync_schedules()
        schedules = list(schedule_list().with_outcome())
        if options["format"] == "json":
            self.answer(as_json([_record(schedule) for schedule in schedules]))
        elif options["format"] == "csv":
            self.answer(as_csv(map(_record, schedules), FIELDS).rstrip("\n"))
        elif schedules:
            titles = ["schedule", "state", "due", "next", "last due time", "job"]
            self.answer("\n".join(as_table(titles, [_row(schedule, timezone.now()) for schedule in schedules])))
        else:
            self.note("There are no schedules.")
        for problem in schedule_problems():
            self.note(problem)


def _row(schedule: Schedule, now: datetime) -> list[str | None]:
    next_run_at = schedule.next_run_at
    return [
        schedule.name,
        f"{schedule.state}*" if schedule.overrides else schedule.state,
        schedule.times,
        f"{local(next_run_at)} ({relative(next_run_at, now=now)})" if next_run_at else None,
        schedule.outcome,
        f"{schedule.queue}.{schedule.job}",
    ]


def _record(schedule: Schedule) -> dict[str, Any]:
    return {field: getattr(schedule, field) for field in FIELDS}
