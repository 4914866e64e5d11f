"""Benchmarks are run by hand; that they can be run is proven here, with sizes that measure nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

from benchmarks.__main__ import BENCHMARKS
from benchmarks.report import SUITE

ROOT = Path(__file__).resolve().parents[2]
SMALLEST = {
    "add": ["--runs=20", "--rounds=1"],
    "bulk_add": ["--runs=20", "--rounds=1", "--many=20"],
    "claims": ["--few=20", "--many=20", "--future=20", "--dead=20", "--claims=1"],
    "drain": ["--runs=20", "--rounds=1"],
    "flat": ["--few=20", "--due=20", "--finished=20", "--claims=1", "--rounds=1"],
    "idle": ["--seconds=1", "--settle-seconds=0"],
    "latency": ["--runs=20", "--rest-seconds=0.01"],
    "limits": ["--runs=20", "--rounds=1", "--claims=2", "--parked=20", "--processes=1"],
    "memory": ["--runs=20", "--portion=20"],
    "rivals": ["--runs=20", "--rounds=1", "--only"],
    "schedules": ["--schedules=20", "--rounds=1"],
    "startup": ["--rounds=1"],
}


def test_every_benchmark_has_a_smallest_size_and_a_section_of_the_page() -> None:
    assert set(SMALLEST) == set(BENCHMARKS) == set(SUITE)


@pytest.mark.slow
@pytest.mark.postgresql  # which all of them know
@pytest.mark.parametrize("name", SMALLEST)
def test_a_benchmark_runs_to_its_end_and_prints_what_it_measured(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--database", connection.vendor, name, *SMALLEST[name]],
        cwd=ROOT,
        env=dict(os.environ),
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 0, done.stderr
    assert f"\n{connection.display_name}: " in done.stdout
