"""``manage.py checkpending``: would this release work what waits? A gate for deploys."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError

from django_jobqueue.management.arguments import add_format
from django_jobqueue.management.command import JobQueueCommand
from django_jobqueue.management.output import as_csv, as_json
from django_jobqueue.operations import check_pending
from django_jobqueue.operations.checking import Checked, Problem, Some
from django_jobqueue.printable import printable

FIELDS = ["queue", "job", "problem", "runs", "first_runs", "schedules", "first_schedules"]


class Command(JobQueueCommand):
    help = (
        "Checks the payloads of all runs that have not ended, and of all enabled schedules, against the jobs as this "
        "release declares them. Exits with 1 if any of them could not be worked."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_format(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        checked = check_pending()
        if options["format"] == "json":
            self.answer(as_json(asdict(checked)))
        elif options["format"] == "csv":
            self.answer(as_csv(map(_line, checked.problems), FIELDS))
        else:
            self._tell(checked)
        if checked.problems:
            runs = sum(problem.runs.count for problem in checked.problems)
            schedules = sum(problem.schedules.count for problem in checked.problems)
            raise CommandError(
                f"This release cannot work {_counted(runs, 'run')} of {checked.runs:,}, "
                f"and {_counted(schedules, 'schedule')} of {checked.schedules:,}."
            )

    def _tell(self, checked: Checked) -> None:
        for problem in checked.problems:
            self.answer(printable(f"{problem.queue}.{problem.job}: {problem.problem}"), "ERROR")
            for line in _lines(problem):
                self.answer(f"  {line}")
        if not checked.problems:
            runs, schedules = _counted(checked.runs, "run"), _counted(checked.schedules, "schedule")
            self.answer(f"This release can work all that waits: {runs}, {schedules}.", "SUCCESS")


def _line(problem: Problem) -> dict[str, Any]:
    """The *problem* on one line, for programs."""
    runs, schedules = problem.runs, problem.schedules
    found = [runs.count, runs.first, schedules.count, schedules.first]
    return dict(zip(FIELDS, [problem.queue, problem.job, problem.problem, *found], strict=True))


def _lines(problem: Problem) -> Iterator[str]:
    if problem.runs.count:
        yield f"{_counted(problem.runs.count, 'run')}: {_named(problem.runs)}"
    if problem.schedules.count:
        yield f"{_counted(problem.schedules.count, 'schedule')}: {_named(problem.schedules)}"


def _named(some: Some) -> str:
    names = ", ".join(printable(str(one)) for one in some.first)
    return names if some.count == len(some.first) else f"{names}, ..."


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun if number == 1 else f'{noun}s'}"
