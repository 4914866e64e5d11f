"""How long it takes until a new worker claims its first run, beyond what Django itself takes to start."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic

from django.db import connection

from benchmarks.drain import empty
from benchmarks.running import PATIENCE_SECONDS
from benchmarks.tables import Row, at_most, print_table
from django_jobqueue import queues

GOAL = 1
DJANGO = """
import django, time
django.setup()
from django.db import connection
connection.ensure_connection()
print(time.monotonic())
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=5)


def measure(options: Namespace) -> None:
    """Print the medians of all rounds."""
    django_alone, worker = [], []
    with TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        os.environ["BENCHMARK_EAR"] = str(Path(folder) / "ear")
        ear.bind(os.environ["BENCHMARK_EAR"])
        ear.settimeout(PATIENCE_SECONDS)
        for _ in range(options.rounds):
            django_alone.append(seconds_to_connect())
            worker.append(seconds_to_first_run(ear))
    beyond = median(worker) - median(django_alone)
    print_table(
        f"{connection.display_name}: median of {options.rounds} starts",
        [
            Row("Django, connected", f"{median(django_alone):.2f} s"),
            Row("runjobs, to the start of its first run", f"{median(worker):.2f} s"),
            Row("beyond Django", f"{beyond:.2f} s", goal=at_most(GOAL, beyond, " s")),
        ],
    )


def seconds_to_connect() -> float:
    """Start Django alone; the seconds until it is connected to the database."""
    begun = monotonic()
    done = subprocess.run([sys.executable, "-c", DJANGO], check=True, capture_output=True)  # noqa: S603
    return float(done.stdout) - begun


def seconds_to_first_run(ear: socket.socket) -> float:
    """Start a worker where a run waits; the seconds until that starts."""
    empty()
    queues.default.add("tell", {})
    begun = monotonic()
    program = [sys.executable, "-m", "django", "runjobs", "default", "--drain"]
    with subprocess.Popen(program, stdout=subprocess.DEVNULL):  # noqa: S603
        return float(ear.recv(64)) - begun
