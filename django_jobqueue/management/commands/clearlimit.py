"""``manage.py clearlimit``: let a limit be what the settings say."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django_jobqueue.management.arguments import add_format, add_reason
from django_jobqueue.management.command import JobQueueCommand, operator
from django_jobqueue.management.output import as_record
from django_jobqueue.operations import clear_limit
from django_jobqueue.operations.limits import LIMIT_OPTIONS


class Command(JobQueueCommand):
    help = "Clears a limit that was set: from the next claim on it is what the settings say."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("queue", help="The queue that is limited.")
        parser.add_argument("limit", choices=LIMIT_OPTIONS, help="What is limited.")
        parser.add_argument("--job", default="", metavar="NAME", help="The limit of this job of the queue.")
        add_reason(parser)
        add_format(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        queue, limit, job = options["queue"], options["limit"], options["job"]
        was_set = clear_limit(queue, limit, job=job, actor=operator(), reason=options["reason"])
        if options["format"] != "text":
            self.answer(
                as_record({"queue": queue, "job": job or None, "limit": limit, "was_set": was_set}, options["format"])
            )
        elif options["verbosity"]:
            of = f"job {job!r}" if job else f"queue {queue!r}"
            self.answer(f"{limit} of {of} {'is as in the settings' if was_set else 'was not set'}.")
