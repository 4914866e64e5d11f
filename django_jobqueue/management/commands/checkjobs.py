"""``manage.py checkjobs``: is all well? For the probes of Kubernetes and for a monitor."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from django_jobqueue.conf import get_config
from django_jobqueue.errors import UnknownQueue
from django_jobqueue.management.arguments import add_format, duration, number
from django_jobqueue.management.command import JobQueueCommand
from django_jobqueue.management.health import Health, Limits, look_at_file, look_at_queues
from django_jobqueue.management.output import as_csv, as_json
from django_jobqueue.printable import printable


class Command(JobQueueCommand):
    help = (
        "Checks that due runs have workers and do not wait too long; or, with --liveness-file, that a worker process "
        "is alive. Exits with 1 otherwise."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--queue", action="append", default=[], metavar="NAME", help="Only this queue; can be repeated.")
        add(
            "--oldest-due",
            type=duration,
            default=300.0,
            metavar="DURATION",
            help="How long a run may have been due without being started. Default: 5m.",
        )
        add(
            "--dead-letters",
            type=number(int, 0, 1_000_000),
            metavar="N",
            help="How many runs may have been dead-lettered lately. Default: any number.",
        )
        add(
            "--lately",
            type=duration,
            default=3600.0,
            metavar="DURATION",
            help="What lately means for --dead-letters. Default: 1h.",
        )
        add("--here", action="store_true", help="Require a living worker on this host.")
        add(
            "--liveness-file",
            type=Path,
            metavar="PATH",
            help="Check only this file, as given to runjobs, and never the database.",
        )
        add(
            "--within",
            type=duration,
            default=30.0,
            metavar="DURATION",
            help="How old the liveness file may be. Default: 30s.",
        )
        add_format(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        health = self._look(options)
        if options["format"] == "json":
            self.answer(as_json({"ok": not health.problems, **asdict(health)}))
        elif options["format"] == "csv":
            self.answer(as_csv([{"problem": problem} for problem in health.problems], ["problem"]))
        elif not health.problems:
            self.answer("All is well.", "SUCCESS")
        if health.problems:
            raise CommandError("\n".join(printable(problem) for problem in health.problems))

    def _look(self, options: dict[str, Any]) -> Health:
        if options["liveness_file"] is not None:
            return look_at_file(options["liveness_file"], options["within"])
        known = get_config().queues
        for name in options["queue"]:
            if name not in known:
                raise UnknownQueue(name, known)
        limits = Limits(
            oldest_due_seconds=options["oldest_due"],
            dead_letters=options["dead_letters"],
            lately_seconds=options["lately"],
            here=options["here"],
        )
        return look_at_queues(options["queue"], limits, now=timezone.now())
