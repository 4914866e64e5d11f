"""How fast runs are claimed and settled beside very many that are due, and beside very many that have ended.

One worker's statements, a hundred runs at a time, each as a part of what it is beside few. Few are measured before and
after, and the better of both counts.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from time import perf_counter

from django.db import connection

from benchmarks.claims import execute
from benchmarks.claims import fill as fill_due
from benchmarks.tables import Row, at_least, print_table
from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import Bounds, Settlement
from django_jobqueue.states import Outcome, Reason, State

BATCH = 100
GOAL = 0.9

END = """
    UPDATE jobqueue_run
       SET state = 'completed', reason = 'returned', attempt = 1, started_at = created_at, finished_at = created_at
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--few", type=int, default=10_000)
    parser.add_argument("--due", type=int, default=1_000_000)
    parser.add_argument("--finished", type=int, default=5_000_000)
    parser.add_argument("--claims", type=int, default=90)


def measure(options: Namespace) -> None:
    """Print how many runs are worked per second."""
    few = beside_few(options)
    fill_due(options.due, 1)
    due = work(options.claims)
    few = max(few, beside_few(options))
    fill_due(options.finished, 1)
    execute(END)
    fill_due(options.few, 1, clear=False)
    finished = work(options.claims)
    few = max(few, beside_few(options))
    print_table(
        f"{connection.display_name}: {options.claims:,} claims of {BATCH}",
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


def beside_few(options: Namespace) -> float:
    fill_due(options.few, 1)
    return work(options.claims)


def work(claims: int) -> float:
    """Claim so many times, and settle what was claimed; the runs per second."""
    engine, bounds, worked, begun = engine_for("default"), Bounds(), 0, perf_counter()
    for _ in range(claims):
        claimed = engine.claim("default", "default", worker="a:1:b", limit=BATCH, lease_seconds=600, bounds=bounds)
        engine.settle(
            [
                Settlement(*claim.ref, outcome=Outcome.COMPLETED, state=State.COMPLETED, reason=Reason.RETURNED)
                for claim in claimed
            ]
        )
        worked += len(claimed)
    return worked / (perf_counter() - begun)
