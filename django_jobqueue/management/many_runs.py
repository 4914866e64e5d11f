"""What is done to many runs from the command line: which they are, and whether that is meant."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any, ClassVar

from django.core.management.base import CommandError

from django_jobqueue.management.arguments import add_format, add_no_input, add_reason, number
from django_jobqueue.management.command import JobQueueCommand, operator
from django_jobqueue.management.output import as_record
from django_jobqueue.management.run_options import add_run_options, run_filter
from django_jobqueue.operations import CancelledMany, Operation, ReplayedMany, RunFilter
from django_jobqueue.operations.selection import all_runs, parsed_id
from django_jobqueue.printable import printable

MOST_TOLD = 10
"""Ids of no run that are told one by one."""


class ManyRunsCommand(JobQueueCommand):
    """Does one thing to the runs that are named, by ids or by a filter."""

    verb: ClassVar[str]
    """What is done, for the question whether it shall be."""

    operation: ClassVar[Operation[..., Any]]
    """It is given a RunFilter."""

    states_of_ids: ClassVar[tuple[str, ...]] = ()
    """The states that are meant where runs are named by their ids; none for all that can be meant."""

    passed_on: ClassVar[tuple[str, ...]] = ()
    """Options of its own that the operation is given."""

    counted: ClassVar[dict[str, str]]
    """What the answer of the operation counts, and how people call it."""

    left_alone: ClassVar[str]
    """Why runs that are named by their ids may be left as they are."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("ids", nargs="*", metavar="id", help="These runs. Without ids: the runs that match the options.")
        add_run_options(parser)
        add("--limit", type=number(int, 1, sys.maxsize), metavar="N", help="At most this many, oldest first.")
        add("--dry-run", action="store_true", help="Only say how many there are.")
        add_no_input(parser)
        add_reason(parser)
        add_format(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        which = self._named(options)
        if not which.ids and not options["dry_run"] and options["interactive"] and sys.stdin.isatty():
            self._ask(which, options)
        with self.progress(options["verbosity"]) as progress:
            done = self._call(
                which,
                options,
                dry_run=options["dry_run"],
                reason=options["reason"],
                on_batch=lambda so_far: progress.tell(f"So far: {self._in_words(asdict(so_far))}."),
            )
        self._tell(done, options)
        self._tell_of_others(which, done, options)
        if isinstance(done, ReplayedMany) and done.refused:
            raise CommandError(f"{done.refused:,} were refused. {printable(' '.join(done.refusals))}")

    def _named(self, options: dict[str, Any]) -> RunFilter:
        """The runs that are meant. Raises CommandError where none are named, or ids that are of no run."""
        asked = run_filter(options)
        if bool(options["ids"]) == bool(asked):
            raise CommandError("Give either the ids of runs, or options that select runs, such as --state or --queue.")
        if not options["ids"]:
            return asked
        ids = {str(given): parsed_id(given) for given in options["ids"]}
        known = [number for number in ids.values() if number is not None]
        there = set(all_runs().filter(pk__in=known).values_list("pk", flat=True))
        if unknown := [given for given, number in ids.items() if number not in there]:
            raise CommandError(f"There is no run {', '.join(map(ascii, unknown[:MOST_TOLD]))}. Nothing was changed.")
        return RunFilter(ids=tuple(there), states=self.states_of_ids)

    def _ask(self, which: RunFilter, options: dict[str, Any]) -> None:
        there = asdict(self._call(which, options, dry_run=True))
        if total := sum(there[word] for word in self.counted):
            self.confirm(f"{self.verb} {total:,} {'run' if total == 1 else 'runs'}?")

    def _call(self, which: RunFilter, options: dict[str, Any], **given: Any) -> CancelledMany | ReplayedMany:
        given |= {name: options[name] for name in ("limit", *self.passed_on)}
        done: CancelledMany | ReplayedMany = self.operation(which, actor=operator(), **given)
        return done

    def _tell(self, done: CancelledMany | ReplayedMany, options: dict[str, Any]) -> None:
        counts = asdict(done)
        if options["format"] != "text":
            self.answer(as_record(counts, options["format"]))
        elif options["verbosity"]:
            self.answer(f"{'Would be: ' if done.dry_run else ''}{self._in_words(counts)}.")
            if done.more:
                self.note("There may be more: it stopped at the limit.")

    def _tell_of_others(self, which: RunFilter, done: CancelledMany | ReplayedMany, options: dict[str, Any]) -> None:
        """Say how many of the runs that were named by their ids it could not be done to."""
        counts = asdict(done)
        others = len(which.ids) - sum(counts[word] for word in self.counted) - counts.get("refused", 0)
        if which.ids and others and not done.more and options["verbosity"]:
            self.note(f"Left as they are: {others:,}, {self.left_alone}.")

    def _in_words(self, counts: dict[str, int]) -> str:
        return ", ".join(f"{counts[word]:,} {shown}" for word, shown in self.counted.items())
