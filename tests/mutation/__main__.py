"""``make mutation``: takes each guard out of a copy of the source, and tells of those that no test misses."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.mutation.atomic_guards import GUARDS as ATOMIC_GUARDS
from tests.mutation.guard import ROOT, Guard
from tests.mutation.limit_guards import GUARDS as LIMIT_GUARDS
from tests.mutation.python_guards import GUARDS as PYTHON_GUARDS
from tests.mutation.sql_guards import GUARDS as SQL_GUARDS

GUARDS = [*SQL_GUARDS, *PYTHON_GUARDS, *ATOMIC_GUARDS, *LIMIT_GUARDS]
COPIED = ("django_jobqueue", "tests", "example_project", "pyproject.toml")

LONGEST_SECONDS = 300
"""Tests that take longer without a guard have missed it."""
FAILED = 1
"""As pytest says it. All else but 0 says that there was nothing to run, or that it could not be run."""


def main() -> int:
    parser = ArgumentParser("python -m tests.mutation", description=__doc__)
    parser.add_argument("words", nargs="*", help="only the guards whose file or purpose has one of these in it")
    words = parser.parse_args().words
    guards = [guard for guard in GUARDS if not words or any(word in str(guard) for word in words)]
    with TemporaryDirectory() as folder:
        copy = Path(folder)
        _copy(copy)
        _expect_sound(copy, guards)
        survivors = [guard for guard in guards if not _is_missed(copy, guard)]
    print(f"\n{len(guards) - len(survivors)} of {len(guards)} guards are missed.")
    for guard in survivors:
        print(f"NOT MISSED BY {guard.tests}: {guard}")
    return 1 if survivors else 0


def _copy(folder: Path) -> None:
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)


def _expect_sound(folder: Path, guards: Sequence[Guard]) -> None:
    """The tests that are to fail must not do so anyway."""
    for database in sorted({guard.database for guard in guards}):
        tests = {node_id for guard in guards if guard.database == database for node_id in guard.node_ids}
        if code := _run(folder, database, sorted(tests), seconds=None):
            sys.exit(f"With all guards, pytest ends with {code} on {database}.")


def _is_missed(folder: Path, guard: Guard) -> bool:
    """Whether a test fails without the guard."""
    file = folder / guard.path
    sound = file.read_text()
    file.write_text(guard.without(sound))
    try:
        code = _run(folder, guard.database, guard.node_ids, seconds=LONGEST_SECONDS)
    finally:
        file.write_text(sound)
    if code not in (0, FAILED):
        sys.exit(f"Without the guard of {guard}, pytest ends with {code}.")
    print("missed    " if code else "NOT MISSED", guard, flush=True)
    return code == FAILED


def _run(folder: Path, database: str, tests: Sequence[str], *, seconds: float | None) -> int:
    environment = os.environ | {"JOBQUEUE_TEST_DATABASE": database, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(command, cwd=folder, env=environment, check=False, timeout=seconds, capture_output=True)
    except subprocess.TimeoutExpired:
        return FAILED
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
