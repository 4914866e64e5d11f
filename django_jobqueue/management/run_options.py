"""The options by which commands are told which runs are meant."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from django_jobqueue.conf import get_config
from django_jobqueue.errors import UnknownQueue, nearest, shown
from django_jobqueue.jobs import registry
from django_jobqueue.management.arguments import moment_or_age
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
        help=f"Runs that are {', '.join(STANDINGS)}. May be given several times.",
    )
    add(
        "--end-reason",
        choices=[reason.value for reason in Reason],
        metavar="REASON",
        help=f"Runs that ended for this reason: {', '.join(Reason)}.",
    )
    since = "a moment such as 2030-02-28T09:00, or an age such as 90, 5m, 1h30m, 2d"
    add("--since", type=moment_or_age, metavar="WHEN", help=f"Runs that ended since, or were added since: {since}.")
    add("--until", type=moment_or_age, metavar="WHEN", help="Runs that ended, or were added, before that.")
    add("--error", metavar="TEXT", help="Runs whose error contains this text, in capitals or not.")
    add("--tag", action="append", dest="tags", metavar="TAG", help="Runs with this tag; given twice, with both.")


def run_filter(options: dict[str, Any]) -> RunFilter:
    """What they say. Raises UnknownQueue or CommandError for a name that neither this release nor any run knows."""
    asked = RunFilter(
        queue=options["queue"],
        job=options["job"],
        states=tuple(options["states"] or ()),
        reason=options["end_reason"],
        since=options["since"],
        until=options["until"],
        error=options["error"],
        tags=tuple(options["tags"] or ()),
    )
    _check_names(asked.queue, asked.job)
    return asked


def _check_names(queue: str | None, job: str | None) -> None:
    """A queue or a job that is declared no more may still have runs."""
    queues = get_config().queues
    if queue is not None and queue not in queues and not RunFilter(queue=queue).runs().exists():
        raise UnknownQueue(queue, queues)
    known = {name for each in queues if queue in {None, each} for name in registry.names(each)}
    if job is not None and job not in known and not RunFilter(queue=queue, job=job).runs().exists():
        raise CommandError(f"{shown(job)} is not a job. {nearest(job, known)}")
