"""``manage.py resumequeue``: let workers claim runs of a paused queue, or of a paused job, again."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django_jobqueue.management.arguments import add_format, add_reason
from django_jobqueue.management.command import JobQueueCommand, operator
from django_jobqueue.management.output import as_record
from django_jobqueue.operations import resume_job, resume_queue


class Command(JobQueueCommand):
    help = "Resumes a paused queue, or a paused job of it: workers claim its runs again, at once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("queue", help="The queue to resume.")
        parser.add_argument("--job", metavar="NAME", help="Resume only this job of the queue.")
        add_reason(parser)
        add_format(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        queue, job = options["queue"], options["job"]
        given: dict[str, Any] = {"actor": operator(), "reason": options["reason"]}
        was_paused = resume_queue(queue, **given) if job is None else resume_job(queue, job, **given)
        if options["format"] != "text":
            told = {"queue": queue, "job": job, "paused": False, "was_paused": was_paused}
            self.answer(as_record(told, options["format"]))
        elif options["verbosity"]:
            what = f"Queue {queue!r}" if job is None else f"Job {job!r}"
            self.answer(f"{what} {'is resumed' if was_paused else 'was not paused'}.")
