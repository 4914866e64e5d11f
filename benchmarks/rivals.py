"""How fast others work jobs that do nothing, beside our worker, on the same server and in the same run.

Each has an environment of its own, which the first run makes, with the versions that its ``requirements.txt`` names. Its
program in ``rival_programs`` says which settings it is given: the ones that its own pages or options offer for throughput.
What is measured is the time from the start of its worker until all jobs are done; neither the start of Python nor the adding.
Those that would take minutes get a tenth of the jobs.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from django.db import connection

import django_jobqueue
from benchmarks.drain import check, drain_seconds, fill
from benchmarks.tables import Row, print_table
from django_jobqueue.conf import get_config

PROGRAMS = Path(__file__).parent / "rival_programs"
ENVIRONMENTS = Path(__file__).parents[1] / ".venv-rivals"
PATIENCE_SECONDS = 600


class Told(NamedTuple):
    """What the program of a rival prints in the end."""

    seconds: float
    version: str


class Rival(NamedTuple):
    """Another queue, and what makes it fast."""

    name: str
    settings: str
    python: tuple[int, int] = (3, 11)
    """The oldest Python that it runs on."""
    part: int = 10
    """It works so small a part of the jobs: with all of them, some would take minutes."""

    @property
    def program(self) -> Path:
        return PROGRAMS / self.name.replace("-", "_")


RIVALS = {
    "postgresql": [
        Rival("pgqueuer", "asyncpg, uvloop, batches of 1000", part=1),
        Rival("procrastinate", "20 coroutines, 20 connections"),
        Rival("django-ox", "8 threads, connections kept", python=(3, 12)),
        Rival("django-tasks-db", "connection kept", python=(3, 12)),
    ],
    "sqlite": [Rival("huey", "4 threads, no results kept")],
}


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", help="the names of the rivals to measure, instead of all")


def measure(options: Namespace) -> None:
    """Print the medians of all rounds."""
    rivals = [rival for rival in RIVALS[connection.vendor] if options.only is None or rival.name in options.only]
    pythons = {rival: environment(rival) for rival in rivals}
    ours: list[float] = []
    theirs: dict[Rival, list[float]] = {rival: [] for rival in rivals}
    versions = {}
    for _ in range(options.rounds):
        fill("default", options.runs)
        ours.append(drain_seconds())
        check("default", options.runs)
        for rival, python in pythons.items():
            if python is not None:
                told = run(rival, python, max(1, options.runs // rival.part))
                theirs[rival].append(told.seconds)
                versions[rival] = told.version
    print_table(
        f"{connection.display_name}: jobs that do nothing, median of {options.rounds} rounds",
        [
            Row(
                f"django-jobqueue {django_jobqueue.__version__}: {get_config().worker.concurrency} threads, {options.runs:,} jobs",
                rate(options.runs, ours),
                "1.00",
            ),
            *(_row(rival, versions.get(rival), options.runs, ours, theirs[rival]) for rival in rivals),
        ],
    )


def _row(rival: Rival, version: str | None, runs: int, ours: Sequence[float], taken: Sequence[float]) -> Row:
    if not taken:
        return Row(f"{rival.name}: needs Python {'.'.join(map(str, rival.python))}", "not measured")
    jobs = max(1, runs // rival.part)
    ratio = median(ours) / runs * jobs / median(taken)
    goal = "less than ours: " + ("met" if ratio < 1 else "MISSED")
    return Row(f"{rival.name} {version}: {rival.settings}, {jobs:,} jobs", rate(jobs, taken), f"{ratio:.3f}", goal)


def rate(runs: int, taken: Sequence[float]) -> str:
    return f"{runs / median(taken):,.0f}/s"


def run(rival: Rival, python: Path, jobs: int) -> Told:
    """Let *rival* work so many jobs, in a database of its own; what its program tells."""
    with TemporaryDirectory() as folder:
        environment = os.environ | {"RIVAL_FILE": str(Path(folder) / "huey.sqlite3")}
        if connection.vendor == "postgresql":
            environment |= new_database()
        done = subprocess.run(  # noqa: S603
            [python, rival.program / "drain.py", str(jobs)],
            check=True,
            env=environment,
            stdout=subprocess.PIPE,
            timeout=PATIENCE_SECONDS,
        )
    return Told(**json.loads(done.stdout.splitlines()[-1]))


def new_database() -> dict[str, str]:
    """Make an empty database beside ours; what libpq reads of it."""
    settings = connection.settings_dict
    with connection.cursor() as cursor:
        cursor.execute("DROP DATABASE IF EXISTS rival WITH (FORCE)")
        cursor.execute("CREATE DATABASE rival")
    return {
        "PGHOST": settings["HOST"],
        "PGPORT": str(settings["PORT"]),
        "PGUSER": settings["USER"],
        "PGDATABASE": "rival",
    }


def environment(rival: Rival) -> Path | None:
    """The Python of *rival*, with what it requires; None, if this machine has none that is new enough."""
    folder, wanted = ENVIRONMENTS / rival.name, (rival.program / "requirements.txt").read_text()
    python, stamp = folder / "bin" / "python", folder / "requirements.txt"
    if not stamp.exists() or stamp.read_text() != wanted:
        base = python_from(rival.python)
        if base is None:
            return None
        print(f"Making the environment of {rival.name}", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([base, "-m", "venv", folder], check=True)  # noqa: S603
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "-r", str(rival.program / "requirements.txt")], check=True)  # noqa: S603
        stamp.write_text(wanted)
    return python


def python_from(oldest: tuple[int, int]) -> str | None:
    """A Python of this machine that is new enough: ours, if it is."""
    if sys.version_info >= oldest:
        return sys.executable
    for minor in range(oldest[1], 15):
        name = shutil.which(f"python3.{minor}")
        if name and subprocess.run([name, "-c", ""], check=False, stderr=subprocess.DEVNULL).returncode == 0:  # noqa: S603
            return name
    return None
