"""``manage.py setlimit``: let a limit be another than the settings say."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.utils import timezone

from django_jobqueue.management.arguments import add_format, add_reason, duration, moment
from django_jobqueue.management.command import JobQueueCommand, operator
from django_jobqueue.management.output import as_record
from django_jobqueue.management.times import local
from django_jobqueue.operations import set_limit
from django_jobqueue.operations.limits import LIMIT_OPTIONS, limit_value, unkeyed


class Command(JobQueueCommand):
    help = "Sets a limit of a queue, or of one job of it, in place of the one in the settings, from the next claim on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("queue", help="The queue to limit.")
        parser.add_argument("limit", choices=LIMIT_OPTIONS, help="What to limit.")
        parser.add_argument("value", help="A number, or a rate such as 100/m.")
        parser.add_argument("--job", default="", metavar="NAME", help="Limit only this job of the queue.")
        end = parser.add_mutually_exclusive_group()
        end.add_argument("--until", type=moment, metavar="MOMENT", help="It ends by itself at 2030-02-28T09:00.")
        end.add_argument(
            "--for",
            type=duration,
            dest="seconds",
            metavar="DURATION",
            help="It ends by itself after 90, 5m, 1h30m, 2d.",
        )
        add_reason(parser)
        add_format(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        queue, limit, job, until = options["queue"], options["limit"], options["job"], options["until"]
        value = limit_value(options["value"])
        if options["seconds"] is not None:
            until = timezone.now() + timedelta(seconds=options["seconds"])
        set_limit(queue, limit, value, job=job, until=until, actor=operator(), reason=options["reason"])
        if options["verbosity"] and (remark := unkeyed(queue, limit, job)):
            self.note(remark)
        if options["format"] != "text":
            told = {"queue": queue, "job": job or None, "limit": limit, "value": value, "until": until}
            self.answer(as_record(told, options["format"]))
        elif options["verbosity"]:
            of, which = (f"job {job!r}", f" --job {job}") if job else (f"queue {queue!r}", "")
            end = f" until {local(until)}" if until else ""
            self.answer(f"{limit} of {of} is {value}{end}. To end it: manage.py clearlimit {queue} {limit}{which}")
