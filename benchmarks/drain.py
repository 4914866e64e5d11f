"""How fast workers work runs that do nothing, beside what the database itself can do.

Each round works as many runs by plain SQL (the ceiling, see ceiling.py), by a worker with jobs in threads, by one with
jobs on an event loop, and by two; with full history. Rounds are interleaved, and the medians compared: other figures than
the ratios say more about the machine than about the queue.
"""

from __future__ import annotations

import gc
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from statistics import median
from time import perf_counter

from django.db import connection

from benchmarks.ceiling import drain_postgresql, drain_sqlite
from benchmarks.plain import conninfo
from benchmarks.processes import drain_with_processes
from benchmarks.tables import Row, at_least, print_table
from django_jobqueue import queues
from django_jobqueue.models import Attempt
from django_jobqueue.worker.maintenance import Maintenance
from django_jobqueue.worker.tally import Tally
from django_jobqueue.worker.worker import Worker

PART_OF_CEILING = 0.5
PER_SECOND = 15_000
"""Goals of one worker, with jobs in threads; the second one where the ceiling is CEILING or more, and on SQLite."""
CEILING = 40_000
ASYNCIO_PART = 0.7
"""Goal for jobs on an event loop, as a part of those in threads."""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)


def measure(options: Namespace) -> None:
    """Print the medians of all rounds."""
    runs: int = options.runs
    ways: dict[str, tuple[str, Callable[[], float]]] = {
        "plain SQL": ("noop", plain_seconds),
        "threads": ("noop", drain_seconds),
        "asyncio": ("async_noop", drain_seconds),
        "2 processes": ("noop", lambda: drain_with_processes("default", 2)),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(options.rounds):
        for way, (job, drain) in ways.items():
            fill("default", runs, job)
            seconds[way].append(drain())
            check("default", runs)
    rates = {way: runs / median(taken) for way, taken in seconds.items()}
    print_table(
        f"{connection.display_name}: {runs:,} runs, median of {options.rounds} rounds",
        [
            Row(way, f"{rate:,.0f}/s", f"{rate / rates['plain SQL']:.2f}", goal(way, rates))
            for way, rate in rates.items()
        ],
    )


def goal(way: str, rates: dict[str, float]) -> str:
    """What is asked of this way, by the rates of all."""
    rate, threads = rates[way], rates["threads"]
    if way == "threads" and connection.vendor == "sqlite":
        return at_least(PER_SECOND, rate, "/s")
    if way == "threads":
        part = at_least(PART_OF_CEILING, rate / rates["plain SQL"])
        return f"{part}; {at_least(PER_SECOND, rate, '/s')}" if rates["plain SQL"] >= CEILING else part
    if way == "asyncio":
        return at_least(ASYNCIO_PART, rate / threads, " of threads")
    if way == "2 processes" and connection.vendor == "postgresql":
        return at_least(1, rate / threads, " of threads")
    return ""


def fill(queue: str, runs: int, job: str = "noop") -> None:
    """Leave nothing in the tables but so many due runs."""
    empty()
    queues[queue].bulk_add({"job": job, "payload": {"number": number}} for number in range(runs))


def empty() -> None:
    """Leave no run in the tables."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM jobqueue_attempt")
        cursor.execute("DELETE FROM jobqueue_run")
        if connection.vendor == "postgresql":
            cursor.execute("VACUUM ANALYZE jobqueue_run, jobqueue_attempt")


def check(queue: str, runs: int) -> None:
    """Fail unless every run was worked, with its history."""
    completed, attempts = queues[queue].runs("completed").count(), Attempt.objects.count()
    if (completed, attempts) != (runs, runs):
        raise SystemExit(f"Of {runs} runs, {completed} were completed in {attempts} attempts.")


def drain_seconds(queue: str = "default") -> float:
    """Work all due runs in this process; the seconds that it took."""
    begun = perf_counter()
    drain_with_worker(queue)
    return perf_counter() - begun


def plain_seconds() -> float:
    """Work all due runs by plain SQL; the seconds that it took."""
    begun = perf_counter()
    drain_plainly()
    return perf_counter() - begun


def drain_with_worker(queue: str = "default") -> None:
    """Work all due runs as ``runjobs --drain`` does."""
    gc.freeze()
    tally = Tally()
    Worker([queue], chores=Maintenance(tally, tally, [queue]), observer=tally, drain=True).run()


def drain_plainly() -> None:
    """Work all due runs by plain SQL."""
    if connection.vendor == "sqlite":
        drain_sqlite(str(connection.settings_dict["NAME"]))
    else:
        drain_postgresql(conninfo())
