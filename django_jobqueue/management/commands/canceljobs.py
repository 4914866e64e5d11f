"""``manage.py canceljobs``: cancel runs that have not ended."""

from __future__ import annotations

from argparse import ArgumentParser

from django_jobqueue.management.many_runs import ManyRunsCommand
from django_jobqueue.operations import cancel_many


class Command(ManyRunsCommand):
    help = (
        "Cancels runs: at once if they are pending. A running one is asked to cancel; it may still end well, but is not "
        "retried."
    )
    verb = "Cancel"
    operation = cancel_many
    passed_on = ("force",)
    counted = {"cancelled": "cancelled", "asked": "running and asked to cancel"}
    left_alone = "which have ended, or were asked to cancel before"

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--force",
            action="store_true",
            help="Kill the process of a job that does not react within two seconds, if it has its own.",
        )
