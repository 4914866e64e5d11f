"""How long it takes from a call of ``add`` until the job starts, in a worker that has nothing else to do.

The job tells the time at which it starts, by the clock of the machine. Calls come at random distances, so that they hit
the worker at any moment of its rest. On PostgreSQL, every other run goes to a worker of plain SQL: an INSERT, a NOTIFY, and
in another process a claim, each committed.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from time import monotonic, sleep

import psycopg
from django.db import connection

from benchmarks.add import POSTGRESQL
from benchmarks.plain import conninfo
from benchmarks.plain_worker import CHANNEL
from benchmarks.running import PATIENCE_SECONDS, running_worker
from benchmarks.tables import Row, at_most, print_table
from django_jobqueue import queues

GOALS = {"postgresql": {50: 3, 99: 10}, "sqlite": {50: 15}}
"""The most milliseconds, by percentile."""
PLAIN, OURS = "plain SQL", "add() to the start of the job"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--rest-seconds", type=float, default=0.1, help="between two runs, on average")


def measure(options: Namespace) -> None:
    """Print the percentiles."""
    with TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        os.environ["BENCHMARK_EAR"] = str(Path(folder) / "ear")
        ear.bind(os.environ["BENCHMARK_EAR"])
        ear.settimeout(PATIENCE_SECONDS)
        with adding(ear) as ways:
            for add in ways.values():
                milliseconds(add, ear)  # what only the first one costs
            taken: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(options.runs):
                for name, add in ways.items():
                    sleep(random.uniform(0.5, 1.5) * options.rest_seconds)
                    taken[name].append(milliseconds(add, ear))
    cuts = {name: quantiles(times, n=100, method="inclusive") for name, times in taken.items()}
    print_table(
        f"{connection.display_name}: {options.runs:,} runs, each added to an idle worker",
        [row(name, percent, cuts) for percent in (50, 99) for name in cuts],
    )


def row(name: str, percent: int, cuts: dict[str, list[float]]) -> Row:
    """What is told of one percentile."""
    taken = cuts[name][percent - 1]
    ratio = f"{taken / cuts[PLAIN][percent - 1]:.2f}" if PLAIN in cuts else ""
    most = GOALS.get(connection.vendor, {}).get(percent) if name == OURS else None
    return Row(
        name + ("" if percent == 50 else f", {percent} of 100"),
        f"{taken:.1f} ms",
        ratio,
        "" if most is None else at_most(most, taken, " ms"),
    )


@contextmanager
def adding(ear: socket.socket) -> Iterator[dict[str, Callable[[], object]]]:
    """The ways to add a run that an idle worker starts."""
    with running_worker():
        ours = {OURS: lambda: queues.default.add("tell", {})}
        if connection.vendor != "postgresql":
            yield ours
            return
        with plain_worker(ear) as add_plainly:
            yield {PLAIN: add_plainly, **ours}


@contextmanager
def plain_worker(ear: socket.socket) -> Iterator[Callable[[], object]]:
    """Run the worker of plain SQL, and answer with what adds a run for it."""
    sql = POSTGRESQL.replace("'default'", f"'{CHANNEL}'")
    command = [sys.executable, "-m", "benchmarks.plain_worker", conninfo(), os.environ["BENCHMARK_EAR"]]
    with psycopg.connect(conninfo(), autocommit=True, prepare_threshold=0) as server:

        def add() -> None:
            server.execute(sql, ["{}"])
            server.execute("SELECT pg_notify(%s, '')", [CHANNEL])

        process = subprocess.Popen(command)  # noqa: S603
        try:
            ear.recv(64)
            yield add
        finally:
            process.terminate()
            process.wait()


def milliseconds(add: Callable[[], object], ear: socket.socket) -> float:
    """Add a run; how long it takes until it starts."""
    begun = monotonic()
    add()
    return (float(ear.recv(64)) - begun) * 1000
