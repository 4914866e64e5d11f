"""How fast one worker process works runs that do nothing, beside what the database itself can do.

Each round works as many runs by plain SQL (the ceiling, see ceiling.py), by a worker with jobs in threads, and by one
with jobs on an event loop; with full history. Rounds are interleaved, and the medians compared: other figures than the
ratios say more about the machine than about the queue.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from statistics import median
from time import perf_counter

from django.db import connection

from benchmarks.ceiling import drain_postgresql, drain_sqlite
from benchmarks.plain import conninfo
from django_jobqueue import queues
from django_jobqueue.models import Attempt
from django_jobqueue.worker.maintenance import Maintenance
from django_jobqueue.worker.tally import Tally
from django_jobqueue.worker.worker import Worker


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)


def measure(options: Namespace) -> None:
    """Print the medians of all rounds."""
    runs: int = options.runs
    ways: dict[str, Callable[[], object]] = {
        "ceiling (plain SQL)": drain_plainly,
        "worker, threads": drain_with_worker,
        "worker, asyncio": drain_with_worker,
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, drain in ways.items():
            empty()
            job = "async_noop" if "asyncio" in name else "noop"
            queues.default.bulk_add({"job": job, "payload": {"number": number}} for number in range(runs))
            begun = perf_counter()
            drain()
            seconds[name].append(perf_counter() - begun)
            check("default", runs)
    ceiling = median(seconds["ceiling (plain SQL)"])
    print(f"\n{connection.display_name}: {runs:,} runs, median of {options.rounds} rounds")
    for name, taken in seconds.items():
        print(f"  {name:<22}{runs / median(taken):>10,.0f} runs/s {ceiling / median(taken):>8.2f} of the ceiling")


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


def drain_with_worker(queue: str = "default") -> None:
    """Work all due runs as ``runjobs --drain`` does."""
    tally = Tally()
    Worker([queue], chores=Maintenance(tally, tally), observer=tally, drain=True).run()


def drain_plainly() -> None:
    """Work all due runs by plain SQL."""
    if connection.vendor == "sqlite":
        drain_sqlite(str(connection.settings_dict["NAME"]))
    else:
        drain_postgresql(conninfo())
