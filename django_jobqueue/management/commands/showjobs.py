"""``manage.py showjobs``: the queues and their jobs; or the runs that one asks for."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from django_jobqueue.management import queue_list, run_list
from django_jobqueue.management.arguments import add_format, number
from django_jobqueue.management.command import JobQueueCommand
from django_jobqueue.management.output import Cell, as_csv, as_json, as_table
from django_jobqueue.management.run_options import add_run_options, run_filter
from django_jobqueue.operations import stats
from django_jobqueue.operations.overview import overview
from django_jobqueue.operations.run_filter import RunFilter, check_names


class Command(JobQueueCommand):
    help = "Shows queues and their jobs. With --runs, or an option that only runs have, shows runs, newest first."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--runs", action="store_true", help="Show runs, even without any other option.")
        add_run_options(parser)
        parser.add_argument(
            "--limit",
            type=number(int, 1, 10_000),
            metavar="N",
            default=50,
            help="Show at most this many runs. Default: 50.",
        )
        add_format(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        asked = run_filter(options)
        check_names(asked)
        if options["runs"] or asked.given.keys() - {"queue", "job"}:
            self._show_runs(asked, options)
        else:
            self._show_queues(asked, options["format"])

    def _show_queues(self, asked: RunFilter, format_: str) -> None:
        now = timezone.now()
        queues = [queue for queue in overview(now=now) if asked.queue in {None, queue.config.name}]
        if asked.job is not None:
            queues = [queue for queue in queues if asked.job in queue.jobs]
        if not queues:
            raise CommandError("It is no longer declared. To see its runs, add --runs.")
        figures = stats(asked.queue).queues
        if format_ == "json":
            self.answer(as_json(queue_list.records(queues, figures, asked.job)))
        elif format_ == "csv":
            self.answer(as_csv(queue_list.records(queues, figures, asked.job), queue_list.FIELDS))
        else:
            rows = queue_list.rows(queues, figures, now=now)
            self._tabulate(queue_list.TITLES, rows, [queue_list.style(queue) for queue in queues])
            self.answer("")
            self._tabulate(queue_list.JOB_TITLES, list(queue_list.job_rows(queues, asked.job)))

    def _show_runs(self, asked: RunFilter, options: dict[str, Any]) -> None:
        runs = run_list.newest(asked, options["limit"] + 1)
        shown, now = runs[: options["limit"]], timezone.now()
        if options["format"] == "json":
            self.answer(as_json(run_list.records(shown)))
        elif options["format"] == "csv":
            self.answer(as_csv(run_list.records(shown), run_list.COLUMNS))
        else:
            self._tabulate(
                run_list.TITLES, run_list.rows(shown, now=now), [run_list.style(run, now=now) for run in shown]
            )
        if len(runs) > len(shown):
            self.note(f"There are more than these {len(shown)}. To see others, use --limit or --until.")

    def _tabulate(self, titles: Sequence[str], rows: Sequence[Sequence[Cell]], styles: Sequence[str] = ()) -> None:
        """Write a table, its lines in these *styles*."""
        first, *lines = as_table(titles, rows)
        self.answer(first)
        for line, style in zip_longest(lines, styles, fillvalue=""):
            self.answer(line, style)
