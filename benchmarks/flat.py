"""How fast runs are claimed and settled beside very many that are due, and beside very many that have ended.

One worker's statements, a hundred runs at a time, each as a part of what it is beside few; the medians of several rounds,
those beside few taken before, between and after.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from statistics import median
from time import perf_counter

from django.db import connection

from benchmarks.claims import execute, fill
from benchmarks.tables import Row, at_least, print_table
from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import Bounds, Settlement
from django_jobqueue.states import Outcome, Reason, State

BATCH = 100
GOAL = 0.9

FINISHED_POSTGRESQL = """
    INSERT INTO jobqueue_run (
           namespace, queue, job, version, payload, state, reason, priority, run_at, created_at, started_at, finished_at,
           attempt, failures, crashes, snoozes, releases, delivery)
    SELECT 'default', 'default', 'noop', 1, '{}', 'completed', 'returned', 0, now(), now(), now(), now(),
           1, 0, 0, 0, 0, 'at_least_once'
      FROM generate_series(1, %(count)s)
"""
FINISHED_SQLITE = """
    WITH RECURSIVE counter (n) AS (
        SELECT 1
     UNION ALL
        SELECT n + 1
          FROM counter
         WHERE n < %(count)s
    )
    INSERT INTO jobqueue_run (
           namespace, queue, job, version, payload, state, reason, priority, run_at, created_at, started_at, finished_at,
           attempt, failures, crashes, snoozes, releases, delivery)
    SELECT 'default', 'default', 'noop', 1, '{}', 'completed', 'returned', 0, '2026-01-01 00:00:00',
           '2026-01-01 00:00:00', '2026-01-01 00:00:00', '2026-01-01 00:00:00', 1, 0, 0, 0, 0, 'at_least_once'
      FROM counter
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--few", type=int, default=10_000)
    parser.add_argument("--due", type=int, default=1_000_000)
    parser.add_argument("--finished", type=int, default=5_000_000)
    parser.add_argument("--claims", type=int, default=10, help="in each round")
    parser.add_argument("--rounds", type=int, default=9)


def measure(options: Namespace) -> None:
    """Print how many runs are worked per second."""
    beside_few = work_beside(options, options.few)
    beside_due = work_beside(options, options.due)
    beside_few += work_beside(options, options.few)
    beside_finished = work_beside(options, options.few, options.finished)
    beside_few += work_beside(options, options.few)
    few, due, finished = map(median, (beside_few, beside_due, beside_finished))
    print_table(
        f"{connection.display_name}: claims of {BATCH}, median of {options.rounds} rounds",
        [
            Row(f"{options.few:,} due", f"{few:,.0f}/s", "1.00"),
            Row(f"{options.due:,} due", f"{due:,.0f}/s", f"{due / few:.2f}", at_least(GOAL, due / few)),
            Row(
                f"{options.few:,} due beside {options.finished:,} that have ended",
                f"{finished:,.0f}/s",
                f"{finished / few:.2f}",
                at_least(GOAL, finished / few),
            ),
        ],
    )


def work_beside(options: Namespace, due: int, finished: int = 0) -> list[float]:
    """The runs per second of each round, where so many runs are due and so many have ended."""
    fill(0, 1)
    if finished:
        execute(FINISHED_SQLITE if connection.vendor == "sqlite" else FINISHED_POSTGRESQL, {"count": finished})
    fill(due, 1, clear=False)
    if connection.vendor == "postgresql":
        execute("VACUUM (ANALYZE) jobqueue_run")  # what the server would soon begin to do meanwhile, by itself
        execute("CHECKPOINT")
    return [work(options.claims) for _ in range(options.rounds)]


def work(claims: int) -> float:
    """Claim so many times, and settle what was claimed; the runs per second."""
    engine, bounds, worked, begun = engine_for("default"), Bounds(), 0, perf_counter()
    for _ in range(claims):
        claimed = engine.claim("default", "default", worker="a:1:b", limit=BATCH, lease_seconds=600, bounds=bounds)
        engine.settle(
            [
                Settlement(claim.ref, outcome=Outcome.COMPLETED, state=State.COMPLETED, reason=Reason.RETURNED)
                for claim in claimed
            ]
        )
        worked += len(claimed)
    return worked / (perf_counter() - begun)
