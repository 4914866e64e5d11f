"""``manage.py purgejobs``: delete runs that ended long enough ago, now."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django_jobqueue.management.arguments import add_format, add_no_input, add_reason, duration
from django_jobqueue.management.command import JobQueueCommand, operator
from django_jobqueue.management.output import as_record, as_table
from django_jobqueue.operations import Purged, purge

ENDS = ("completed", "failed", "dead_lettered", "cancelled")
"""What the answer counts."""


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
            help="Purge completed runs that ended this long ago: 90, 5m, 12h, 7d; 0 for all. Default: as the queue says.",
        )
        parser.add_argument(
            "--failed-after",
            type=duration,
            metavar="DURATION",
            help="The same for failed, dead-lettered and cancelled runs.",
        )
        parser.add_argument("--dry-run", action="store_true", help="Count them, and delete nothing.")
        add_no_input(parser)
        add_reason(parser)
        add_format(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        earlier = options["completed_after"] is not None or options["failed_after"] is not None
        if earlier and not options["dry_run"] and options["interactive"] and sys.stdin.isatty():
            self.confirm("Purged runs are gone for good. Purge them earlier or later than their queue says?")
        with self.progress(options["verbosity"]) as progress:
            purged = purge(
                options["queue"],
                actor=operator(),
                reason=options["reason"],
                completed_after_seconds=options["completed_after"],
                failed_after_seconds=options["failed_after"],
                dry_run=options["dry_run"],
                on_batch=lambda so_far: progress.tell(f"So far: {_total(so_far):,} {_done(so_far)}."),
            )
        counts = asdict(purged)
        if options["format"] != "text":
            self.answer(as_record(counts, options["format"]))
        elif options["verbosity"]:
            rows = [(state.replace("_", "-"), counts[state]) for state in ENDS]
            for line in as_table(["runs", _done(purged)], [*rows, ("all", _total(purged))]):
                self.answer(line)


def _total(purged: Purged) -> int:
    return sum(getattr(purged, state) for state in ENDS)


def _done(purged: Purged) -> str:
    return "would be purged" if purged.dry_run else "purged"
