"""Runs every benchmark, one after another, on the database that the environment names: python -m tests.benchmarks.smallest

All in one program and on one server: to start these takes longer than to measure so little.
"""

from __future__ import annotations

import os

import django
from django.core.management import call_command

from benchmarks.__main__ import parser

SMALLEST = {
    "add": ["--runs=20", "--rounds=1"],
    "bulk_add": ["--runs=20", "--rounds=1", "--many=20"],
    "claims": ["--few=20", "--many=20", "--future=20", "--dead=20", "--claims=1"],
    "drain": ["--runs=20", "--rounds=1"],
    "flat": ["--few=20", "--due=20", "--finished=20", "--claims=1", "--rounds=1"],
    "flood": ["--runs=20", "--rounds=1"],
    "idle": ["--seconds=1", "--settle-seconds=0"],
    "latency": ["--runs=20", "--rest-seconds=0.01"],
    "limits": ["--runs=20", "--rounds=1", "--claims=2", "--parked=20", "--processes=1"],
    "memory": ["--runs=20", "--portion=20"],
    "rivals": ["--runs=20", "--rounds=1", "--only"],
    "schedules": ["--schedules=20", "--rounds=1"],
    "startup": ["--rounds=1"],
}
"""Sizes that measure nothing."""


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    django.setup()
    call_command("migrate", verbosity=0)
    for name, sizes in SMALLEST.items():
        options = parser().parse_args([name, *sizes])
        print(f"=== {name}", flush=True)
        options.measure(options)


if __name__ == "__main__":
    main()
