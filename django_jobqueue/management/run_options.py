"""The options by which commands are told which runs are meant."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django_jobqueue.management.arguments import moment_or_age, past_or_age
from django_jobqueue.operations.run_filter import STANDINGS, RunFilter
from django_jobqueue.states import Reason


def add_run_options(parser: ArgumentParser) -> None:
    """Declare them."""
    add = parser.add_argument
    add("--queue", metavar="NAME", help="Runs of this queue.")
    add("--job", metavar="NAME", help="Runs of this job.")
    add(
        "--state",
        action="append",
        dest="states",
        choices=list(STANDINGS),
        metavar="STATE",
        help=f"Runs that are {', '.join(STANDINGS)}. Can be repeated.",
    )
    add(
        "--end-reason",
        choices=[reason.value for reason in Reason],
        metavar="REASON",
        help=f"Runs that ended for this reason: {', '.join(Reason)}.",
    )
    since = "a moment such as 2030-02-28T09:00, or an age such as 90, 5m, 1h30m, 2d"
    add("--since", type=past_or_age, metavar="WHEN", help=f"Runs that ended since, or were added since: {since}.")
    add("--until", type=moment_or_age, metavar="WHEN", help="Runs that ended, or were added, before that.")
    add("--error", metavar="TEXT", help="Runs whose error contains this text, in upper or lower case.")
    add("--tag", action="append", dest="tags", metavar="TAG", help="Runs with this tag; if repeated, with all of them.")


def run_filter(options: dict[str, Any]) -> RunFilter:
    """What they say."""
    return RunFilter(
        queue=options["queue"],
        job=options["job"],
        states=tuple(options["states"] or ()),
        reason=options["end_reason"],
        since=options["since"],
        until=options["until"],
        error=options["error"],
        tags=tuple(options["tags"] or ()),
    )
