"""``manage.py resumequeue``: let workers claim runs of a paused queue again."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django_jobqueue.management.arguments import add_format, add_reason
from django_jobqueue.management.command import JobQueueCommand, operator
from django_jobqueue.management.output import as_json
from django_jobqueue.operations import resume_queue


class Command(JobQueueCommand):
    help = "Resumes a paused queue: workers claim its runs again, at once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("queue", help="The queue to resume.")
        add_reason(parser)
        add_format(parser, "text", "json")

    def handle(self, *args: Any, **options: Any) -> None:
        queue = options["queue"]
        was_paused = resume_queue(queue, actor=operator(), reason=options["reason"])
        if options["format"] == "json":
            self.answer(as_json({"queue": queue, "paused": False, "was_paused": was_paused}))
        elif options["verbosity"]:
            self.answer(f"Queue {queue!r} {'is resumed' if was_paused else 'was not paused'}.")
