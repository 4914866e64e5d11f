"""How long it takes from a call of ``add`` until the job starts, in a worker that has nothing else to do.

The job tells the time at which it starts, by the clock of the machine. Calls come at random distances, so that they hit
the worker at any moment of its rest.
"""

from __future__ import annotations

import os
import random
import socket
from argparse import ArgumentParser, Namespace
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from time import monotonic, sleep

from django.db import connection

from benchmarks.running import PATIENCE_SECONDS, running_worker
from benchmarks.tables import Row, at_most, print_table
from django_jobqueue import queues

GOALS = {"postgresql": {50: 3, 99: 10}, "sqlite": {50: 15}}
"""The most milliseconds, by percentile."""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--rest-seconds", type=float, default=0.1, help="between two runs, on average")


def measure(options: Namespace) -> None:
    """Print the percentiles."""
    with TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        os.environ["BENCHMARK_EAR"] = str(Path(folder) / "ear")
        ear.bind(os.environ["BENCHMARK_EAR"])
        ear.settimeout(PATIENCE_SECONDS)
        with running_worker():
            add_and_hear(ear)  # what only the first one costs
            taken = []
            for _ in range(options.runs):
                sleep(random.uniform(0.5, 1.5) * options.rest_seconds)
                taken.append(add_and_hear(ear))
    cuts, goals = quantiles(taken, n=100, method="inclusive"), GOALS.get(connection.vendor, {})
    print_table(
        f"{connection.display_name}: {options.runs:,} runs, each added to an idle worker",
        [
            Row(
                "add() to the start of the job" + ("" if percent == 50 else f", {percent} of 100"),
                f"{cuts[percent - 1]:.1f} ms",
                goal=at_most(goals[percent], cuts[percent - 1], " ms") if percent in goals else "",
            )
            for percent in (50, 99)
        ],
    )


def add_and_hear(ear: socket.socket) -> float:
    """Add a run; the milliseconds until it starts."""
    begun = monotonic()
    queues.default.add("tell", {})
    return (float(ear.recv(64)) - begun) * 1000
