"""``manage.py purgejobs``: delete runs that ended long enough ago, now."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django_jobqueue.management.arguments import add_format, add_reason, duration
from django_jobqueue.management.command import JobQueueCommand, operator
from django_jobqueue.management.output import as_json, as_table
from django_jobqueue.operations import purge


class Command(JobQueueCommand):
    help = (
        "Purges runs that ended longer ago than the cleanup of their queue says, with their attempts. "
        "Workers do that all the time; this does it at once."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("queue", nargs="?", help="Purge the runs of this queue. Default: of all queues.")
        parser.add_argument(
            "--completed-after",
            type=duration,
            metavar="DURATION",
            help="Purge completed runs that ended so long ago: 90, 5m, 12h, 7d; 0 for all. Default: as the queue says.",
        )
        parser.add_argument(
            "--failed-after",
            type=duration,
            metavar="DURATION",
            help="The same for failed, dead-lettered and cancelled runs.",
        )
        parser.add_argument("--dry-run", action="store_true", help="Count them, and delete nothing.")
        add_reason(parser)
        add_format(parser, "text", "json")

    def handle(self, *args: Any, **options: Any) -> None:
        purged = asdict(
            purge(
                options["queue"],
                actor=operator(),
                reason=options["reason"],
                completed_after_seconds=options["completed_after"],
                failed_after_seconds=options["failed_after"],
                dry_run=options["dry_run"],
            )
        )
        if options["format"] == "json":
            self.answer(as_json(purged))
            return
        dry_run = purged.pop("dry_run")
        title = "would be purged" if dry_run else "purged"
        rows = [(state.replace("_", "-"), number) for state, number in purged.items()]
        for line in as_table(["runs", title], [*rows, ("all", sum(purged.values()))]):
            self.answer(line)
