"""``manage.py fireschedule``: make a run of a schedule at once."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django_jobqueue.management.arguments import add_format, add_reason
from django_jobqueue.management.command import JobQueueCommand, operator
from django_jobqueue.management.output import as_record
from django_jobqueue.operations import schedule_fire_now
from django_jobqueue.operations.schedule_sync import sync_schedules


class Command(JobQueueCommand):
    help = "Makes a run of a schedule at once, beside its due times, and prints the id of the run."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("schedule", help="The name of the schedule.")
        add_reason(parser)
        add_format(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        sync_schedules()
        run = schedule_fire_now(options["schedule"], actor=operator(), reason=options["reason"])
        if options["format"] != "text":
            self.answer(
                as_record(
                    {"run": run.pk, "schedule": options["schedule"], "queue": run.queue, "job": run.job},
                    options["format"],
                )
            )
        elif options["verbosity"]:
            self.answer(str(run.pk))
