"""``manage.py showrun``: all that there is to tell of one run."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from django_jobqueue.management.arguments import add_format
from django_jobqueue.management.command import JobQueueCommand
from django_jobqueue.management.output import as_record
from django_jobqueue.management.run_report import RunReport
from django_jobqueue.operations import get
from django_jobqueue.operations.visible import Visible


class Command(JobQueueCommand):
    help = "Shows a run: where it stands, what it waits for, its attempts, and who did what to it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("run", metavar="id", help="The id of the run. With -v 2 the tracebacks are shown too.")
        parser.add_argument("--show-payload", action="store_true", help="Show the payload as it is, secrets included.")
        add_format(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        report = RunReport(Visible(get(options["run"]), secrets=options["show_payload"]), now=timezone.now())
        if options["format"] != "text":
            self.answer(as_record(report.document(), options["format"]))
        else:
            self.answer("\n".join(report.lines(tracebacks=options["verbosity"] > 1)))
