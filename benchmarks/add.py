"""How fast runs are added one by one, each committed, beside a plain INSERT of the same row.

``add`` checks the payload against the signature of the job, and answers with the run as the database has it. Both prepare
their statement on PostgreSQL. Rounds are short and interleaved, each way goes first in every other one, and the medians compared:
how long a commit takes changes from second to second.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from functools import partial
from statistics import median
from time import perf_counter

from django.db import connection

from benchmarks.drain import empty
from benchmarks.plain import Execute, plain_connection
from benchmarks.tables import Row, at_least, print_table
from django_jobqueue import queues

GOALS = {"postgresql": 0.65}

POSTGRESQL = """
    INSERT INTO jobqueue_run (
           namespace, queue, job, version, payload, state, priority, run_at, created_at,
           attempt, failures, crashes, snoozes, releases, delivery)
    VALUES ('default', 'default', 'noop', 1, %s, 'pending', 0, statement_timestamp(), statement_timestamp(),
           0, 0, 0, 0, 0, 'at_least_once')
 RETURNING id, run_at, created_at
"""
SQLITE = """
    INSERT INTO jobqueue_run (
           namespace, queue, job, version, payload, state, priority, run_at, created_at,
           attempt, failures, crashes, snoozes, releases, delivery)
    VALUES ('default', 'default', 'noop', 1, ?, 'pending', 0, strftime('%Y-%m-%d %H:%M:%f000', 'now'),
           strftime('%Y-%m-%d %H:%M:%f000', 'now'), 0, 0, 0, 0, 0, 'at_least_once')
 RETURNING id, run_at, created_at
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=20)


def measure(options: Namespace) -> None:
    """Print the medians of all rounds."""
    runs: int = options.runs
    plain: list[float] = []
    ours: list[float] = []
    with plain_connection() as execute:
        ways = [(plain, partial(add_plainly, execute, runs)), (ours, partial(add, runs))]
        for _ in range(options.rounds):
            empty()
            ways.reverse()
            for seconds, way in ways:
                seconds.append(way())
    ratio, goal = median(plain) / median(ours), GOALS.get(connection.vendor)
    print_table(
        f"{connection.display_name}: {runs:,} runs added one by one, median of {options.rounds} rounds",
        [
            Row("plain INSERT", f"{runs / median(plain):,.0f}/s", "1.00"),
            Row("add()", f"{runs / median(ours):,.0f}/s", f"{ratio:.2f}", at_least(goal, ratio) if goal else ""),
        ],
    )


def add_plainly(execute: Execute, runs: int) -> float:
    """Insert so many by plain SQL; the seconds that it took."""
    sql = SQLITE if connection.vendor == "sqlite" else POSTGRESQL
    begun = perf_counter()
    for number in range(runs):
        execute(sql, [f'{{"number":{number}}}']).fetchone()
    return perf_counter() - begun


def add(runs: int) -> float:
    """Add so many; the seconds that it took."""
    queue = queues.default
    queue.add("noop", {"number": 0})  # what only the first one costs
    begun = perf_counter()
    for number in range(runs):
        queue.add("noop", {"number": number})
    return perf_counter() - begun
