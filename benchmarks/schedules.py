"""How fast one worker fires schedules that are due in the same minute, and what it costs to look when none is.

It prints the seconds from the first tick until every schedule has its run and its next due time, the CPU that this took in
the worker, and the time and the queries of a tick that finds nothing due. Half of the schedules are cron lines, all of
them different, and half are intervals.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from datetime import timedelta
from statistics import median
from time import perf_counter, process_time

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from benchmarks.tables import Row, print_table
from django_jobqueue.models import Run, Schedule
from django_jobqueue.scheduler import Scheduler

IDLE_TICKS = 200


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--schedules", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)


def measure(options: Namespace) -> None:
    """Print the medians of all rounds."""
    schedules: int = options.schedules
    bursts = [burst(schedules) for _ in range(options.rounds)]
    seconds, queries = idle()
    taken, busy = (median(column) for column in zip(*bursts, strict=True))
    print_table(
        f"{connection.display_name}: {schedules:,} schedules, median of {options.rounds} rounds",
        [
            Row("until all have fired", f"{taken:.2f} s"),
            Row("runs that this makes", f"{schedules / taken:,.0f}/s"),
            Row("CPU that it takes the worker", f"{busy:.2f} s"),
            Row("a tick that finds none due", f"{seconds * 1000:.2f} ms"),
            Row("queries of that tick", str(queries)),
        ],
    )


def burst(schedules: int) -> tuple[float, float]:
    """The seconds in which so many schedules fire that are due in the same minute, and those of CPU in this process."""
    Run.objects.all().delete()
    Schedule.objects.all().delete()
    now = timezone.now()
    common = {"queue": "default", "job": "noop", "next_run_at": now - timedelta(seconds=5)}
    Schedule.objects.bulk_create(
        Schedule(
            name=f"s{n}",
            payload={"number": n},
            **common,
            **({"cron": line(n)} if n % 2 else {"every_seconds": 60, "counted_from": now}),
        )
        for n in range(schedules)
    )
    scheduler = Scheduler()
    begun, begun_cpu = perf_counter(), process_time()
    while scheduler.tick(now).wait_seconds == 0:
        pass
    seconds = perf_counter() - begun, process_time() - begun_cpu
    if Run.objects.count() != schedules or Schedule.objects.filter(next_run_at__lte=now).exists():
        raise SystemExit("Not every schedule has fired once.")
    return seconds


def line(number: int) -> str:
    """A cron line of its own for each number up to 40,320."""
    return f"{number % 60} {number // 60 % 24} {number // 1440 % 28 + 1} * *"


def idle() -> tuple[float, int]:
    """The seconds and the queries of a tick, while all schedules wait."""
    scheduler = Scheduler()
    with CaptureQueriesContext(connection) as queries:
        scheduler.tick()
    begun = perf_counter()
    for _ in range(IDLE_TICKS):
        scheduler.tick()
    return (perf_counter() - begun) / IDLE_TICKS, len(queries)
