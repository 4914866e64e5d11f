"""What our commands have in common: they do what operations do, and where they cannot, say why on one line."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error

from django_jobqueue.errors import JobQueueError
from django_jobqueue.management.parsing import correct
from django_jobqueue.management.progress import Progress
from django_jobqueue.management.startup import refusal
from django_jobqueue.printable import encodable, printable, printable_lines


class JobQueueCommand(BaseCommand):
    """A face of operations: arguments in, an answer out.

    Data goes to standard output, talk to standard error. It runs without system checks: a queue can be paused while
    half of the project is broken.
    """

    requires_system_checks: list[str] | tuple[str, ...] | Literal["__all__"] = ()

    def create_parser(self, prog_name: str, subcommand: str, **options: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **options)
        correct(parser)
        return parser

    def execute(self, *args: Any, **options: Any) -> str | None:
        if os.environ.get("NO_COLOR"):
            options |= {"no_color": True, "force_color": False}
        try:
            return super().execute(*args, **options)
        except JobQueueError as error:
            raise CommandError(printable_lines(str(error))) from error
        except Error as error:
            raise CommandError(printable(refusal(error))) from error

    def answer(self, text: str, style: str = "") -> None:
        """Write *text* to standard output, in a *style* of Django's palette where it has colours."""
        text = encodable(text, self.stdout)
        self.stdout.write(getattr(self.style, style)(text) if style else text)

    def note(self, text: str) -> None:
        """Write *text*, which is no data, to standard error."""
        self.stderr.write(encodable(text, self.stderr), lambda text: text)

    def confirm(self, question: str) -> None:
        """Ask whether that is meant. Raises CommandError, unless it is."""
        self.stderr.write(f"{question} [y/N] ", lambda text: text, ending="")
        self.stderr.flush()
        if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
            raise CommandError("Nothing was changed.")

    @contextmanager
    def progress(self, verbosity: int) -> Iterator[Progress]:
        """Tells a person at the terminal how far it has come."""
        progress = Progress(self.stderr, verbosity)
        try:
            yield progress
        finally:
            progress.end()

    def run_from_argv(self, argv: list[str]) -> None:
        try:
            super().run_from_argv(argv)
            self.stdout.flush()
        except BrokenPipeError:  # who read the output has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except KeyboardInterrupt:
            sys.exit(130)


def operator() -> str:
    """Who is at the command line, as activities record it."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a user that nothing names
        name = str(os.getuid())
    return f"command:{name}"
