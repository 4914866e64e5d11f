"""How fast a worker works a flood of runs that comes when it has been idle, beside an almost empty table.

PostgreSQL plans by what it knows of a table, and that may be old: in each round, a new worker first works some runs one by
one, then a flood of which the server has counted nothing, then another one that it has counted.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from statistics import median
from time import perf_counter

from django.db import connection

from benchmarks.claims import execute
from benchmarks.drain import empty
from benchmarks.running import running_worker, wait_until
from benchmarks.tables import Row, at_least, print_table
from django_jobqueue import queues
from django_jobqueue.models import Run
from django_jobqueue.states import State

GOAL = 0.8
ONE_BY_ONE = 20
"""After so many, PostgreSQL has decided which plans it keeps."""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)


def measure(options: Namespace) -> None:
    """Print the medians of all rounds."""
    execute("ALTER TABLE jobqueue_run SET (autovacuum_enabled = off)")  # it counts once a minute, when nobody knows
    rounds = [floods(options.runs) for _ in range(options.rounds)]
    execute("ALTER TABLE jobqueue_run RESET (autovacuum_enabled)")
    uncounted, counted = (options.runs / median(seconds) for seconds in zip(*rounds, strict=True))
    print_table(
        f"{connection.display_name}: {options.runs:,} runs at once, median of {options.rounds} rounds",
        [
            Row("counted", f"{counted:,.0f}/s", "1.00"),
            Row(
                "not counted", f"{uncounted:,.0f}/s", f"{uncounted / counted:.2f}", at_least(GOAL, uncounted / counted)
            ),
        ],
    )


def floods(runs: int) -> tuple[float, float]:
    """The seconds in which a new worker works a flood that the server has not counted, and one that it has."""
    empty()
    with running_worker("-v", "0"):
        for number in range(ONE_BY_ONE):
            queues.default.add("noop", {"number": number})
            wait_until(all_done, "a run is completed")
        uncounted = seconds_of(runs)
        empty()
        return uncounted, seconds_of(runs, counted=True)


def seconds_of(runs: int, *, counted: bool = False) -> float:
    """Let so many runs be due at the same moment; the seconds until the last one is completed."""
    queues.default.pause(actor="benchmark")
    queues.default.bulk_add({"job": "noop", "payload": {"number": number}} for number in range(runs))
    if counted:
        execute("ANALYZE jobqueue_run")
    begun = perf_counter()
    queues.default.resume(actor="benchmark")
    wait_until(all_done, "all runs are completed")
    return perf_counter() - begun


def all_done() -> bool:
    return not Run.objects.filter(state__in=[State.PENDING, State.RUNNING]).exists()
