"""Runs a benchmark on each database, in a process of its own:

python -m benchmarks [--database NAME] drain [--runs 20000] ...
"""

from __future__ import annotations

import os
import subprocess
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from importlib import import_module

import django
from django.core.management import call_command

import benchmarks
from benchmarks.databases import DATABASES

BENCHMARKS = (
    "add",
    "bulk_add",
    "claims",
    "drain",
    "flat",
    "flood",
    "idle",
    "latency",
    "limits",
    "memory",
    "rivals",
    "schedules",
    "startup",
)


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    django.setup()
    options = parser().parse_args()
    if "BENCHMARK_DATABASE" in os.environ:
        call_command("migrate", verbosity=0)
        options.measure(options)
        return
    for name in options.database or DATABASES:
        with DATABASES[name]() as environment:
            again = [sys.executable, "-m", "benchmarks", *sys.argv[1:]]
            subprocess.run(again, check=True, env=os.environ | environment)  # noqa: S603


def parser() -> ArgumentParser:
    """What can be asked for: every benchmark with its own options."""
    parser = ArgumentParser("python -m benchmarks", description=benchmarks.__doc__)
    parser.add_argument("--database", action="append", choices=DATABASES, help="only this one; may be repeated")
    commands = parser.add_subparsers(required=True, metavar="benchmark")
    for name in BENCHMARKS:
        module = import_module(f"benchmarks.{name}")
        text = module.__doc__ or ""
        command = commands.add_parser(
            name, help=text.splitlines()[0], description=text, formatter_class=RawDescriptionHelpFormatter
        )
        module.add_arguments(command)
        command.set_defaults(measure=module.measure)
    return parser


if __name__ == "__main__":
    main()
