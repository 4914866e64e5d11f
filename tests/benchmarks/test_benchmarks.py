"""Benchmarks are run by hand; that they can be run is proven here, with sizes that measure nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import BENCHMARKS
from benchmarks.databases import DATABASES
from benchmarks.report import SUITE
from tests.benchmarks.smallest import SMALLEST

ROOT = Path(__file__).resolve().parents[2]


def printed_by(*program: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *program],
        cwd=ROOT,
        env=os.environ | environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_benchmark_has_a_smallest_size_and_a_section_of_the_page() -> None:
    assert set(SMALLEST) == set(BENCHMARKS) == set(SUITE)


@pytest.mark.slow
@pytest.mark.postgresql  # which all of them know
def test_each_benchmark_runs_to_its_end_and_prints_what_it_measured() -> None:
    with DATABASES["postgresql"]() as environment:
        printed = printed_by("tests.benchmarks.smallest", **environment)

    _, *parts = re.split(r"^=== ", printed, flags=re.MULTILINE)
    assert [part.splitlines()[0] for part in parts] == list(SMALLEST)
    for part in parts:
        assert "\nPostgreSQL: " in part, part


@pytest.mark.slow
@pytest.mark.sqlite  # the cheaper one
def test_a_benchmark_is_run_by_its_name_on_a_new_database() -> None:
    assert "\nSQLite: 20 runs added" in printed_by("benchmarks", "--database=sqlite", "add", *SMALLEST["add"])
