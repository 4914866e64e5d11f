"""``manage.py pausequeue``: let no worker claim runs of a queue, or of one job of it."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.utils import timezone

from django_jobqueue.management.arguments import add_format, add_reason, duration, moment
from django_jobqueue.management.command import JobQueueCommand, operator
from django_jobqueue.management.output import as_record
from django_jobqueue.management.times import local
from django_jobqueue.operations import pause_job, pause_queue


class Command(JobQueueCommand):
    help = "Pauses a queue, or one job of it: no worker claims its runs. Running ones continue, and runs can still be added."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("queue", help="The queue to pause.")
        parser.add_argument("--job", metavar="NAME", help="Pause only this job of the queue.")
        end = parser.add_mutually_exclusive_group()
        end.add_argument("--until", type=moment, metavar="MOMENT", help="Resume by itself at 2030-02-28T09:00.")
        end.add_argument(
            "--for", type=duration, dest="seconds", metavar="DURATION", help="Resume by itself after 90, 5m, 1h30m, 2d."
        )
        add_reason(parser)
        add_format(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        queue, until = options["queue"], options["until"]
        if options["seconds"] is not None:
            until = timezone.now() + timedelta(seconds=options["seconds"])
        given: dict[str, Any] = {"actor": operator(), "reason": options["reason"], "until": until}
        if (job := options["job"]) is None:
            pause_queue(queue, **given)
        else:
            pause_job(queue, job, **given)
        if options["format"] != "text":
            told = {"queue": queue, "job": job, "paused": True, "until": until}
            self.answer(as_record(told, options["format"]))
        elif options["verbosity"]:
            what, which = (f"Queue {queue!r}", queue) if job is None else (f"Job {job!r}", f"{queue} --job {job}")
            end = f" until {local(until)}" if until else ""
            self.answer(f"{what} is paused{end}. To end it: manage.py resumequeue {which}")
