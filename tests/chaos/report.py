"""``make chaos``: the trials with more runs and more seeds, on each database, and a report of what came of them."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from tests.chaos.settings import LEASE_SECONDS

DATABASES = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}
TITLES = ("fault", "trials", "runs", "faults", "lost", "finished twice", "late results dropped", "kill to next start")


def main() -> int:
    parser = ArgumentParser("python -m tests.chaos.report", description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="so many runs in each trial")
    parser.add_argument("--seeds", type=int, default=3, help="so many trials of each fault")
    parser.add_argument("--database", action="append", choices=DATABASES, help="only this one; may be repeated")
    parser.add_argument("--write", type=Path, help="the page to write; without it, it is printed")
    options, arguments = parser.parse_known_args()
    parts, code = [], 0
    for database in options.database or DATABASES:
        with TemporaryDirectory() as folder:
            results = Path(folder) / "results"
            code |= run_trials(database, results, options.runs, options.seeds, arguments)
            parts += ["", f"## {DATABASES[database]}", "", *table(read(results))]
    page = "\n".join([*head(options.runs, options.seeds), *parts, ""])
    if options.write is None:
        print(page)
    else:
        options.write.write_text(page)
    return code


def run_trials(database: str, results: Path, runs: int, seeds: int, arguments: Sequence[str]) -> int:
    """Run them one after the other; answer as pytest does."""
    environment = {
        "JOBQUEUE_TEST_DATABASE": database,
        "JOBQUEUE_CHAOS_RUNS": str(runs),
        "JOBQUEUE_CHAOS_SEEDS": str(seeds),
        "JOBQUEUE_CHAOS_REPORT": str(results),
    }
    command = [sys.executable, "-m", "pytest", "tests/chaos", "-q", "-k", "not control", *arguments]
    return subprocess.run(command, env=os.environ | environment, check=False).returncode


def read(results: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in results.read_text().splitlines()]


def head(runs: int, seeds: int) -> list[str]:
    return [
        "# Chaos",
        "",
        f"Written by `make chaos`: {runs} runs and {seeds} seeds for each fault, with a lease of {LEASE_SECONDS:g} s. What each",
        "fault is stands in `tests/chaos/test_chaos.py`, what is checked in `tests/chaos/checker.py`.",
        "",
        f"Python {platform.python_version()}, {os.cpu_count()} CPUs. A run of a killed worker must start again within"
        f" {LEASE_SECONDS + 2:g} s.",
    ]


def table(trials: list[dict[str, Any]]) -> Iterator[str]:
    """One line for each fault, and one for all."""
    yield f"| {' | '.join(TITLES)} |"
    yield f"|---|{'---:|' * (len(TITLES) - 1)}"
    by_fault = sorted(trials, key=lambda trial: _order(trial["fault"]))
    for fault, some in groupby(by_fault, key=lambda trial: trial["fault"]):
        yield _line(fault, list(some))
    yield _line("all", trials)
    for trial in by_fault:
        for violation in trial["violations"]:
            yield f"\n{trial['fault']}, seed {trial['seed']}: **{violation}**"


def _line(name: str, trials: list[dict[str, Any]]) -> str:
    seconds = [each for trial in trials for each in trial["comebacks"]]
    sums = [sum(trial[figure] for trial in trials) for figure in ("runs", "faults", "lost", "twice", "dropped")]
    comeback = f"median {median(seconds):.2f} s, max {max(seconds):.2f} s" if seconds else ""
    return f"| {' | '.join(map(str, [name, len(trials), *sums, comeback]))} |"


def _order(fault: str) -> tuple[str, int]:
    return fault[0], int(fault[1:])


if __name__ == "__main__":
    sys.exit(main())
