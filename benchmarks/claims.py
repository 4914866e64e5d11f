"""How long a claim of ten runs takes, beside what is due, what is not, and what is dead.

With 1 and with 20 levels of priority, each as a ratio to 20,000 due runs with as many levels: 1,000,000 due runs; 200,000
future runs of every level; 200,000 dead entries before the first due run, kept there by a snapshot that somebody holds,
claimed with bounds as workers do, and without. Figures are CPU time of the process that claims, on PostgreSQL the
server's: they say nothing of the disk, and little of what else the machine does. Ratios are what counts.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator

import psutil
from django.db import connection

from benchmarks.tables import Row, at_most, print_table
from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import Bounds
from tests.snapshots import held_snapshot

BATCH = 10
MOST_TIMES = 1.5
"""The most that a claim may take beside all that, in times of one without it."""

FILL_POSTGRESQL = """
    INSERT INTO jobqueue_run (
           namespace, queue, job, version, payload, state, priority, run_at, created_at,
           attempt, failures, crashes, snoozes, releases, delivery)
    SELECT 'default', 'default', 'noop', 1, '{}', 'pending', n %% %(levels)s,
           statement_timestamp() + make_interval(hours => %(hours)s, secs => n * 0.0001), statement_timestamp(),
           0, 0, 0, 0, 0, 'at_least_once'
      FROM generate_series(1, %(count)s) AS n
"""
FILL_SQLITE = """
    WITH RECURSIVE counter (n) AS (
        SELECT 1
     UNION ALL
        SELECT n + 1
          FROM counter
         WHERE n < %(count)s
    )
    INSERT INTO jobqueue_run (
           namespace, queue, job, version, payload, state, priority, run_at, created_at,
           attempt, failures, crashes, snoozes, releases, delivery)
    SELECT 'default', 'default', 'noop', 1, '{}', 'pending', n %% %(levels)s,
           strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now', %(hours)s || ' hours', (n * 0.0001) || ' seconds') || '000',
           '2026-01-01 00:00:00', 0, 0, 0, 0, 0, 'at_least_once'
      FROM counter
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--few", type=int, default=20_000)
    parser.add_argument("--many", type=int, default=1_000_000)
    parser.add_argument("--future", type=int, default=200_000)
    parser.add_argument("--dead", type=int, default=200_000)
    parser.add_argument("--claims", type=int, default=1_000)


def measure(options: Namespace) -> None:
    """Print what a claim takes."""
    for levels in (1, 20):
        measured = list(scenes(options, levels))
        _, baseline, _ = measured[0]
        print_table(
            f"{connection.display_name}: claims of {BATCH} from {options.few:,} due runs of {levels} priorities, mean",
            [
                Row(
                    name,
                    f"{milliseconds:.3f} ms",
                    f"{milliseconds / baseline:.2f}",
                    at_most(MOST_TIMES, milliseconds / baseline) if has_goal else "",
                )
                for name, milliseconds, has_goal in measured
            ],
        )


def scenes(options: Namespace, levels: int) -> Iterator[tuple[str, float, bool]]:
    """What is in the table, what a claim takes beside it, in milliseconds, and whether that is to be as without it."""
    few, claims = options.few, options.claims
    fill(few, levels)
    yield f"{few:,} due", claim(claims), False
    fill(options.many, levels)
    yield f"{options.many:,} due", claim(claims), True
    fill(few, levels)
    fill(options.future, levels, hours=24, clear=False)
    yield f"{options.future:,} future beside them", claim(claims), True
    if connection.vendor == "sqlite":
        return  # what was claimed leaves the index at once
    fill(options.dead, levels, hours=-48)
    fill(few, levels, clear=False)
    with held_snapshot():
        execute("DELETE FROM jobqueue_run WHERE run_at < statement_timestamp() - interval '36 hours'")
        yield f"{options.dead:,} dead before them, with bounds", claim(claims, Bounds()), True
        yield f"{options.dead:,} dead before them, without", claim(max(1, claims // 10)), False


def claim(claims: int, bounds: Bounds | None = None) -> float:
    """Claim so many times, and answer with what one took, in milliseconds."""
    engine, begun = engine_for("default"), cpu_seconds()
    for _ in range(claims):
        found = engine.claim("default", "default", worker="a:1:b", limit=BATCH, lease_seconds=600, bounds=bounds)
        if len(found) != BATCH:
            raise SystemExit(f"A claim found {len(found)} runs instead of {BATCH}.")
    return max(0.001, (cpu_seconds() - begun) / claims * 1000)


def cpu_seconds() -> float:
    """What the process has taken so far that does the work."""
    process = psutil.Process()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            process = psutil.Process(cursor.fetchone()[0])
    times = process.cpu_times()
    return float(times.user + times.system)


def fill(count: int, levels: int, *, hours: int = -24, clear: bool = True) -> None:
    """Add so many pending runs, for so many hours from now; to nothing, or to what there is."""
    if clear:
        execute("DELETE FROM jobqueue_run" if connection.vendor == "sqlite" else "TRUNCATE jobqueue_run")
    sql = FILL_SQLITE if connection.vendor == "sqlite" else FILL_POSTGRESQL
    execute(sql, {"count": count, "levels": levels, "hours": hours})
    execute("ANALYZE" if connection.vendor == "sqlite" else "VACUUM ANALYZE jobqueue_run")


def execute(sql: str, parameters: dict[str, str | int] | None = None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
