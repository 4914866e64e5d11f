"""What is done to many runs from the command line: which they are, whether that is meant, and what came of it."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator
from typing import Any, ClassVar

from django.core.management.base import CommandError

from django_jobqueue.errors import JobQueueError, RunNotFound
from django_jobqueue.management.arguments import add_format, add_reason
from django_jobqueue.management.command import JobQueueCommand
from django_jobqueue.management.output import as_json
from django_jobqueue.management.printable import printable
from django_jobqueue.management.run_options import add_run_options, run_filter
from django_jobqueue.models import RunQuerySet
from django_jobqueue.operations.run_filter import RunFilter
from django_jobqueue.operations.selection import all_runs, parsed_id

BATCH = 500
"""Runs that are looked up at once, and after which it is told how far it has come."""

MOST_TOLD = 10
"""Refusals, and ids of no run, that are told one by one."""


class ManyRunsCommand(JobQueueCommand):
    """Does one thing to each of the runs that are named, by ids or by a filter."""

    verb: ClassVar[str]
    """What is done, for the question whether it shall be."""

    outcomes: ClassVar[dict[str, str]]
    """What can come of it for one run: a word for programs, and one for people."""

    def chosen(self, asked: RunFilter) -> RunQuerySet:
        """Of the runs that a filter names, those that this can be done to."""
        raise NotImplementedError

    def act(self, run_id: int, *, reason: str) -> str:
        """Do it, and answer with one of the outcomes. Raises JobQueueError."""
        raise NotImplementedError

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("ids", nargs="*", metavar="id", help="These runs; or those that the options name.")
        add_run_options(parser)
        add("--dry-run", action="store_true", help="Only say how many runs are named.")
        add("--no-input", "--noinput", action="store_false", dest="interactive", help="Ask nothing.")
        add_reason(parser)
        add_format(parser, "text", "json")

    def handle(self, *args: Any, **options: Any) -> None:
        runs = self._named(options)
        matched = runs.count()
        if options["dry_run"]:
            self._tell(matched, Counter(), options)
            return
        if not options["ids"] and matched and options["interactive"] and sys.stdin.isatty():
            self._ask(matched)
        counts, refused = self._work(runs, matched, options)
        self._tell(matched, counts, options)
        if refused:
            told = " ".join(refused[:MOST_TOLD])
            raise CommandError(f"{len(refused)} of {matched} were refused. {printable(told)}")

    def _named(self, options: dict[str, Any]) -> RunQuerySet:
        """The runs that are meant. Raises CommandError where none are named, or ids that are of no run."""
        asked = run_filter(options)
        if bool(options["ids"]) == bool(asked):
            raise CommandError("Name runs either by their ids, or by what is true of them, such as --state or --queue.")
        if not options["ids"]:
            return self.chosen(asked)
        ids = {str(given): parsed_id(given) for given in options["ids"]}
        found = all_runs().filter(pk__in=[number for number in ids.values() if number is not None])
        there = set(found.values_list("pk", flat=True))
        if unknown := [given for given, number in ids.items() if number not in there]:
            raise CommandError(f"There is no run {', '.join(map(ascii, unknown[:MOST_TOLD]))}. Nothing was changed.")
        return found

    def _ask(self, matched: int) -> None:
        self.stderr.write(f"{self.verb} {matched:,} runs? [y/N] ", lambda text: text, ending="")
        self.stderr.flush()
        if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
            raise CommandError("Nothing was changed.")

    def _work(self, runs: RunQuerySet, matched: int, options: dict[str, Any]) -> tuple[Counter[str], list[str]]:
        counts: Counter[str] = Counter()
        refused = []
        for number, run_id in enumerate(_ids(runs), start=1):
            try:
                counts[self.act(run_id, reason=options["reason"])] += 1
            except RunNotFound:  # it was purged meanwhile
                counts["gone"] += 1
            except JobQueueError as error:
                refused.append(f"Run {run_id}: {error}")
            if number % BATCH == 0 and options["verbosity"]:
                self.note(f"{number:,} of {matched:,}")
        return counts, refused

    def _tell(self, matched: int, counts: Counter[str], options: dict[str, Any]) -> None:
        if options["format"] == "json":
            told = {outcome: counts[outcome] for outcome in self.outcomes}
            self.answer(as_json({"matched": matched, "dry_run": options["dry_run"], **told, "gone": counts["gone"]}))
        elif options["verbosity"]:
            parts = [f"{counts[outcome]:,} {word}" for outcome, word in self.outcomes.items() if counts[outcome]]
            self.answer(", ".join([f"{matched:,} named", *parts]) + ".")


def _ids(runs: RunQuerySet) -> Iterator[int]:
    """The ids of *runs*, from the oldest on; without those that are added meanwhile."""
    newest = all_runs().order_by("-pk").values_list("pk", flat=True).first() or 0
    last = 0
    while batch := list(runs.filter(pk__gt=last, pk__lte=newest).order_by("pk").values_list("pk", flat=True)[:BATCH]):
        yield from batch
        last = batch[-1]
