"""How much more memory a worker holds after very many runs than after some.

The worker runs in a process of its own, beside this one, which adds the runs in portions and waits until they are worked.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from django.db import connection

from benchmarks.drain import empty
from benchmarks.idle import memory_mib
from benchmarks.running import running_worker, wait_until
from benchmarks.tables import Row, at_most, print_table
from django_jobqueue import queues

GOAL = 10
"""The most MiB."""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--portion", type=int, default=20_000)


def measure(options: Namespace) -> None:
    """Print by how much the worker grew."""
    with running_worker() as worker:
        work(options.portion)  # all that is there once: threads, plans, caches
        before, worked = memory_mib(worker), 0
        while worked < options.runs:
            work(options.portion)
            worked += options.portion
        after = memory_mib(worker)
    grown = max(0.0, after - before)
    print_table(
        f"{connection.display_name}: {worked:,} runs worked by one worker",
        [
            Row(f"memory after the first {options.portion:,}", f"{before:.1f} MiB"),
            Row("more in the end", f"{grown:.1f} MiB", goal=at_most(GOAL, grown, " MiB")),
        ],
    )


def work(runs: int) -> None:
    """Have so many worked, and none left in the tables."""
    queues.default.bulk_add({"job": "noop", "payload": {"number": number}} for number in range(runs))
    wait_until(lambda: not queues.default.runs().live().exists(), "a portion is worked")
    empty()
