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

DATABASES = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}
LEASE_SECONDS = 5
"""Long enough for a machine that is busy with two workers, and short enough to see one end."""
SLOTS = 4
"""Of a worker."""
SUMS = ("runs", "faults", "lost", "twice", "dropped")
HEAD = (
    "",
    "fault",
    "trials",
    "runs",
    "injected",
    "runs lost",
    "finished twice",
    "late results dropped",
    "worker killed to next start",
    "child killed to release",
)

ABOUT = """\
# Chaos

Written by `make chaos`. Each line is one kind of fault, with all that was checked in the trials of it: every run that was added
has ended (C1), nothing else has run (C2), no run has ended twice (C3) or started after its end (C4), attempts are counted and runs
that may start only once do (C5), two work on a run only where one has lost it (C6), the run of a killed worker starts again within
its lease and 2 s, and that of a killed child is given back within 2 s (C7), the last attempt decides (C8), each due time of a
schedule has made one run (C9), and nothing is left behind: no process, no lease, no session, no wrong exit code (C10). What a
job with `atomic` has written is there exactly where its attempt completed the run, and once (C11). A trial in which one of them
fails is told of below its table.

What a fault is exactly stands in the test of its name in `tests/chaos/`, the checks in `tests/chaos/checker.py`. Faults are real: signals,
a server of its own that is stopped, killed, frozen or crowded, a proxy that cuts connections when something is committed, and a
library that puts clocks forward and back. Workers have {lease} s of lease; those of W1, W4, W5 and W6 the default of 30 s, for
which C7 is promised. Of the runs that T3 brings back, one lease more is allowed, in which nobody takes a run from another.

Not injected: the black hole of D6 and D7 need rights over the network that a suite has not; to a worker both look like D5, in which the
server is there and does not answer. T1 to T3 need a C compiler, and a server whose clock is not that of the workers: there is no
such thing on SQLite.

Python {python}, {cpus} CPUs, a load of {load} of them at the end.
"""


def main() -> int:
    parser = ArgumentParser("python -m tests.chaos.report", description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="so many runs in each trial")
    parser.add_argument("--seeds", type=int, default=3, help="so many trials of each fault")
    parser.add_argument("--database", action="append", choices=DATABASES, help="only this one; may be repeated")
    parser.add_argument("--results", type=Path, help="keep the results here, and tell of all that are here already")
    parser.add_argument("--write", type=Path, help="the page to write; without it, it is printed")
    options, arguments = parser.parse_known_args()
    with TemporaryDirectory() as folder:
        results = (options.results or Path(folder) / "results").absolute()
        codes = [
            run_trials(database, results, options.runs, options.seeds, arguments)
            for database in options.database or DATABASES
        ]
        page = "\n".join(report([json.loads(line) for line in results.read_text().splitlines()]))
    if options.write is None:
        print(page)
    else:
        options.write.write_text(page + "\n")
    return max(codes)


def run_trials(database: str, results: Path, runs: int, seeds: int, arguments: Sequence[str]) -> int:
    """Run them one after the other; answer as pytest does."""
    environment = {
        "JOBQUEUE_TEST_DATABASE": database,
        "JOBQUEUE_CHAOS_RUNS": str(runs),
        "JOBQUEUE_CHAOS_SEEDS": str(seeds),
        "JOBQUEUE_CHAOS_LEASE": str(LEASE_SECONDS),
        "JOBQUEUE_CHAOS_SLOTS": str(SLOTS),
        "JOBQUEUE_CHAOS_REPORT": str(results),
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "tests/chaos",
        "-q",
        "--deselect=tests/chaos/test_control.py",
        *arguments,
    ]
    return subprocess.run(command, env=os.environ | environment, check=False).returncode


def report(trials: list[dict[str, Any]]) -> Iterator[str]:
    load = f"{os.getloadavg()[0] / (os.cpu_count() or 1):.1f}"
    yield ABOUT.format(lease=LEASE_SECONDS, python=platform.python_version(), cpus=os.cpu_count(), load=load)
    for database, title in DATABASES.items():
        yield f"## {title}\n"
        yield from table([trial for trial in trials if trial["database"] == database])
        yield ""


def table(trials: list[dict[str, Any]]) -> Iterator[str]:
    """One line for each fault, and one for all; then what was found."""
    yield f"| {' | '.join(HEAD)} |"
    yield f"|---|---|{'---:|' * (len(HEAD) - 2)}"
    by_fault = sorted(trials, key=lambda trial: _order(trial["fault"]))
    for fault, some in groupby(by_fault, key=lambda trial: trial["fault"]):
        found = list(some)
        yield _line(fault, found[0]["what"], found)
    yield _line("", "all", trials)
    for trial in by_fault:
        for violation in trial["violations"]:
            yield f"\n{trial['fault']}, seed {trial['seed']}: **{violation}**"


def _line(fault: str, what: str, trials: list[dict[str, Any]]) -> str:
    sums = [f"{sum(trial[figure] for trial in trials):,}" for figure in SUMS]
    return f"| {' | '.join([fault, what, str(len(trials)), *sums, _comeback(trials), _release(trials)])} |"


def _comeback(trials: list[dict[str, Any]]) -> str:
    """How long runs took to start again after the kill of their worker; for those with the longer lease, where there are any."""
    lease = max((trial["lease"] for trial in trials), default=0)
    return _times([each for trial in trials if trial["lease"] == lease for each in trial["comebacks"]], lease + 2)


def _release(trials: list[dict[str, Any]]) -> str:
    """How long runs whose child was killed took to be given back: nobody waits for their lease."""
    return _times([each for trial in trials for each in trial["releases"]], 2)


def _times(seconds: Sequence[float], allowed: float) -> str:
    if not seconds:
        return ""
    return f"median {median(seconds):.2f} s, max {max(seconds):.2f} s, allowed {allowed:g} s"


def _order(fault: str) -> tuple[str, int]:
    return fault[0], int(fault[1:])


if __name__ == "__main__":
    sys.exit(main())
