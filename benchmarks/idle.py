"""What a worker costs that has nothing to do: round trips to the database, CPU, memory.

Round trips are the statements that the server logs, BEGIN and COMMIT among them; SQLite has no server. Memory is the
proportional set size (PSS) where the system tells it: what is shared with other processes counts in part.
"""

from __future__ import annotations

import os
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from time import sleep

import psutil
from django.db import connection

from benchmarks.running import running_worker
from benchmarks.tables import Row, at_most, print_table

MIB = 1024 * 1024
STATEMENT = re.compile(rb" LOG:  (statement|execute)")


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--settle-seconds", type=float, default=3.0, help="which a new worker gets before it counts")


def measure(options: Namespace) -> None:
    """Print what one worker takes."""
    statements = logged_statements() if connection.vendor == "postgresql" else None
    with running_worker() as worker:
        sleep(options.settle_seconds)
        cpu, sent = cpu_seconds(worker), statements and statements()
        sleep(options.seconds)
        cpu = (cpu_seconds(worker) - cpu) / options.seconds * 10
        rows = [Row("CPU in 10 s", f"{cpu:.3f} s", goal=at_most(0.05, cpu, " s"))]
        if statements is not None and sent is not None:
            per_second = (statements() - sent) / options.seconds
            rows.append(Row("round trips", f"{per_second:.2f}/s", goal=at_most(1, per_second, "/s")))
        memory = memory_mib(worker)
        rows.append(Row("memory", f"{memory:.1f} MiB", goal=at_most(60, memory, " MiB")))
    print_table(f"{connection.display_name}: {options.seconds} seconds of an idle worker", rows)


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def memory_mib(process: psutil.Process) -> float:
    """What a process takes of the memory of the machine."""
    memory = process.memory_full_info()
    return float(getattr(memory, "pss", memory.uss) / MIB)


def logged_statements() -> Callable[[], int]:
    """Let the server log all statements, and answer with what counts them."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER SYSTEM SET log_statement = 'all'")
        cursor.execute("SELECT pg_reload_conf()")
    log = Path(os.environ["BENCHMARK_HOST"]) / "log"
    return lambda: len(STATEMENT.findall(log.read_bytes()))
