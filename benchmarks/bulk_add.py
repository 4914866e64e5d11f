"""How fast ``bulk_add`` is, ids returned, beside a plain INSERT of one JSON document; and how much memory it takes.

On PostgreSQL also beside COPY, which answers with no ids. Memory is the most that the whole process holds
while a generator of very many items is added.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from datetime import UTC, datetime
from statistics import median
from time import perf_counter
from typing import Any

import psutil
import psycopg
from django.db import connection

from benchmarks.drain import empty
from benchmarks.plain import Execute, conninfo, plain_connection
from benchmarks.tables import Row, at_least, at_most, print_table
from django_jobqueue import queues

GOAL_PER_SECOND = {"postgresql": 60_000}
GOAL_MEMORY = 200
MIB = 1024 * 1024

POSTGRESQL = """
    INSERT INTO jobqueue_run (
           namespace, queue, job, version, payload, state, priority, run_at, created_at,
           attempt, failures, crashes, snoozes, releases, delivery)
    SELECT 'default', 'default', item.job, 1, item.payload, 'pending', 0, statement_timestamp(), statement_timestamp(),
           0, 0, 0, 0, 0, 'at_least_once'
      FROM json_to_recordset(%s::json) AS item(job text, payload jsonb)
 RETURNING id
"""
COPY = """
    COPY jobqueue_run (
         namespace, queue, job, version, payload, state, priority, run_at, created_at,
         attempt, failures, crashes, snoozes, releases, delivery)
    FROM STDIN
"""
SQLITE = """
    INSERT INTO jobqueue_run (
           namespace, queue, job, version, payload, state, priority, run_at, created_at,
           attempt, failures, crashes, snoozes, releases, delivery)
    SELECT 'default', 'default', json_extract(value, '$.job'), 1, json_extract(value, '$.payload'), 'pending', 0,
           strftime('%Y-%m-%d %H:%M:%f000', 'now'), strftime('%Y-%m-%d %H:%M:%f000', 'now'),
           0, 0, 0, 0, 0, 'at_least_once'
      FROM json_each(?)
 RETURNING id
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--many", type=int, default=1_000_000, help="items of the generator whose memory is measured")


def measure(options: Namespace) -> None:
    """Print the medians of all rounds, and then the memory."""
    runs: int = options.runs
    copied, plain, ours = [], [], []
    with plain_connection() as execute:
        for _ in range(options.rounds):
            if connection.vendor == "postgresql":
                empty()
                copied.append(copy(runs))
            empty()
            plain.append(add_plainly(execute, runs))
            empty()
            ours.append(add(runs))
    ratio, per_second = median(plain) / median(ours), runs / median(ours)
    fastest = [median(copied)] if copied else []
    goal = GOAL_PER_SECOND.get(connection.vendor)
    empty()
    memory = memory_of(options.many)
    print_table(
        f"{connection.display_name}: {runs:,} runs added at once, median of {options.rounds} rounds",
        [
            *(Row("plain COPY", f"{runs / seconds:,.0f}/s", f"{median(plain) / seconds:.2f}") for seconds in fastest),
            Row("plain INSERT of a document", f"{runs / median(plain):,.0f}/s", "1.00"),
            Row("bulk_add()", f"{per_second:,.0f}/s", f"{ratio:.2f}", at_least(goal, per_second, "/s") if goal else ""),
            Row(
                f"memory with a generator of {options.many:,}",
                f"{memory:,.0f} MiB",
                goal=at_most(GOAL_MEMORY, memory, " MiB"),
            ),
        ],
    )


def add_plainly(execute: Execute, runs: int) -> float:
    """Insert so many by one statement; the seconds that it took."""
    sql = SQLITE if connection.vendor == "sqlite" else POSTGRESQL
    begun = perf_counter()
    document = json.dumps(list(items(runs)))
    ids = [row[0] for row in execute(sql, [document]).fetchall()]
    seconds = perf_counter() - begun
    check(len(ids), runs)
    return seconds


def copy(runs: int) -> float:
    """Copy so many into the table; the seconds that it took."""
    begun = perf_counter()
    now = datetime.now(UTC)
    with psycopg.connect(conninfo()) as server, server.cursor() as cursor, cursor.copy(COPY) as rows:
        for item in items(runs):
            payload = json.dumps(item["payload"])
            place = ("default", "default", item["job"], 1, payload, "pending", 0, now, now)
            rows.write_row((*place, 0, 0, 0, 0, 0, "at_least_once"))
    return perf_counter() - begun


def add(runs: int) -> float:
    """Add so many; the seconds that it took."""
    begun = perf_counter()
    ids = queues.default.bulk_add(items(runs))
    seconds = perf_counter() - begun
    check(len(set(ids)), runs)
    return seconds


def memory_of(runs: int) -> float:
    """The most MiB that this process held while it added so many."""
    process, most = psutil.Process(), 0

    def watched() -> Iterator[dict[str, Any]]:
        nonlocal most
        for number, item in enumerate(items(runs)):
            if number % 1_000 == 0:
                most = max(most, process.memory_info().rss)
            yield item

    ids = queues.default.bulk_add(watched())
    most = max(most, process.memory_info().rss)
    check(len(ids), runs)
    return most / MIB


def items(runs: int) -> Iterator[dict[str, Any]]:
    """What is added: jobs that do nothing, each with a payload of its own."""
    return ({"job": "noop", "payload": {"number": number}} for number in range(runs))


def check(ids: int, runs: int) -> None:
    if ids != runs:
        raise SystemExit(f"Of {runs} runs, {ids} have an id.")
