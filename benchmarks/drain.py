"""How fast one worker process works runs that do nothing, beside what the database itself can do.

    python -m benchmarks.drain [--runs 20000] [--rounds 3]

Each round prints runs per second for both databases: the ceiling (plain SQL, see ``ceiling.py``), a worker with jobs in
threads, and one with jobs on an event loop; with full history, and PostgreSQL with fsync on. Rounds are interleaved, and
the medians compared: other figures than the ratios say more about the machine than about the queue.
"""

from __future__ import annotations

import os
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

from tests.servers import PostgresServer


def main() -> None:
    parser = ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--inside", action="store_true", help="measure in this process, on BENCHMARK_DATABASE")
    options = parser.parse_args()
    if options.inside:
        measure(options.runs, options.rounds)
        return
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    again = [
        sys.executable,
        "-m",
        "benchmarks.drain",
        "--inside",
        f"--runs={options.runs}",
        f"--rounds={options.rounds}",
    ]
    with TemporaryDirectory() as folder:
        environment = {"BENCHMARK_DATABASE": "sqlite", "BENCHMARK_FILE": str(Path(folder) / "benchmark.sqlite3")}
        subprocess.run(again, check=True, env=os.environ | environment)  # noqa: S603
    with PostgresServer(fsync=True) as server:
        environment = {
            "BENCHMARK_DATABASE": "postgresql",
            "BENCHMARK_HOST": str(server.folder),
            "BENCHMARK_PORT": str(server.port),
        }
        subprocess.run(again, check=True, env=os.environ | environment)  # noqa: S603


def measure(runs: int, rounds: int) -> None:
    """Print the medians of *rounds* for the database that the settings name."""
    import django

    django.setup()

    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    ways: dict[str, Callable[[], object]] = {
        "ceiling (plain SQL)": drain_plainly,
        "worker, threads": drain_with_worker,
        "worker, asyncio": drain_with_worker,
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, drain in ways.items():
            fill("async_noop" if "asyncio" in name else "noop", runs)
            begun = perf_counter()
            drain()
            seconds[name].append(perf_counter() - begun)
            check(runs)
    ceiling = median(seconds["ceiling (plain SQL)"])
    print(f"\n{connection.display_name}: {runs:,} runs, median of {rounds} rounds")
    for name, taken in seconds.items():
        print(f"  {name:<22}{runs / median(taken):>10,.0f} runs/s {ceiling / median(taken):>8.2f} of the ceiling")


def fill(job: str, runs: int) -> None:
    """Leave nothing in the tables but *runs* due runs."""
    from django.db import connection

    from django_jobqueue import queues

    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM jobqueue_attempt")
        cursor.execute("DELETE FROM jobqueue_run")
        if connection.vendor == "postgresql":
            cursor.execute("VACUUM ANALYZE jobqueue_run, jobqueue_attempt")
    queues.default.bulk_add({"job": job, "payload": {"number": number}} for number in range(runs))


def check(runs: int) -> None:
    """Fail unless every run was worked, with its history."""
    from django_jobqueue import queues
    from django_jobqueue.models import Attempt

    completed, attempts = queues.default.runs("completed").count(), Attempt.objects.count()
    if (completed, attempts) != (runs, runs):
        raise SystemExit(f"Of {runs} runs, {completed} were completed in {attempts} attempts.")


def drain_with_worker() -> None:
    """Work all due runs as ``runjobs --drain`` does."""
    from django_jobqueue.worker.maintenance import Maintenance
    from django_jobqueue.worker.observer import Observer
    from django_jobqueue.worker.worker import Worker

    observer = Observer()
    Worker(["default"], chores=Maintenance(observer), observer=observer, drain=True).run()


def drain_plainly() -> None:
    """Work all due runs by plain SQL."""
    from django.db import connection

    from benchmarks.ceiling import drain_postgresql, drain_sqlite

    if connection.vendor == "sqlite":
        drain_sqlite(str(connection.settings_dict["NAME"]))
    else:
        drain_postgresql(f"host={os.environ['BENCHMARK_HOST']} port={os.environ['BENCHMARK_PORT']} user=postgres")


if __name__ == "__main__":
    main()
