"""``manage.py runjobs``: work queues until told to stop."""

from __future__ import annotations

import signal
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from django_jobqueue.conf import get_config
from django_jobqueue.errors import nearest
from django_jobqueue.management.console import Console
from django_jobqueue.worker.maintenance import Maintenance
from django_jobqueue.worker.worker import Worker


class Command(BaseCommand):
    """The face of ``worker.Worker``: arguments in, lines out, signals passed on."""

    help = "Works queues: claims their runs, calls their jobs, records how they ended. Stops on SIGTERM or Ctrl-C."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "queues", nargs="*", metavar="queue", help="Work these queues. Default: all with run_on_startup."
        )
        parser.add_argument(
            "--concurrency", type=_number(int, 1), metavar="N", help="Work N runs at once. Default: worker.concurrency."
        )
        parser.add_argument(
            "--grace",
            type=_number(float, 0),
            metavar="SECONDS",
            help="When told to stop, let running jobs go on for so long. Default: worker.grace_seconds.",
        )
        parser.add_argument("--drain", action="store_true", help="Exit when no run can be claimed any more.")

    def handle(self, *args: Any, **options: Any) -> None:
        console = Console(self.stdout, self.style, verbosity=options["verbosity"])
        worker = Worker(
            _known(options["queues"]),
            chores=Maintenance(console),
            observer=console,
            concurrency=options["concurrency"],
            grace_seconds=options["grace"],
            drain=options["drain"],
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: worker.stop())
        code = worker.run()
        if code:
            sys.exit(code)


def _known(names: list[str]) -> list[str]:
    """The queues to work. Raises CommandError for one that does not exist."""
    queues = get_config().queues
    for name in names:
        if name not in queues:
            raise CommandError(f"{name!r} is not a queue. {nearest(name, queues)}")
    chosen = list(dict.fromkeys(names)) or [name for name, queue in queues.items() if queue.run_on_startup]
    if not chosen:
        raise CommandError("No queue has run_on_startup: name the queues to work.")
    return chosen


def _number(kind: Callable[[str], float], least: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = least - 1
        if not least <= value < float("inf"):
            raise ArgumentTypeError(f"must be a number of at least {least}, got {text!r}.")
        return value

    return parse
