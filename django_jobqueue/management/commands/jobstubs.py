"""``manage.py jobstubs``: write the module from which type checkers and editors know queues and jobs."""

from __future__ import annotations

from argparse import ArgumentParser
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from django_jobqueue.management.command import JobQueueCommand
from django_jobqueue.management.stubs import MARK, source_of_module

FILE = "queues.py"


class Command(JobQueueCommand):
    help = (
        "Writes a module of typed queues, so that editors and type checkers know the names of queues and jobs, and the "
        "payload of each. At run time it is the same object as django_jobqueue.queues."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add(
            "--output",
            type=Path,
            metavar="PATH",
            help=f"Write this file. Default: {FILE} beside the project's urls.py.",
        )
        add("--check", action="store_true", help="Write nothing, and exit with 1 if the file is out of date.")

    def handle(self, *args: Any, **options: Any) -> None:
        path = options["output"] or _project() / FILE
        source = source_of_module()
        try:
            done = _update(path, source, write=not options["check"])
        except (OSError, UnicodeError) as error:
            raise CommandError(f"{path}: {error}") from error
        if options["verbosity"]:
            self.answer(f"{path} {done}.")


def _update(path: Path, source: str, *, write: bool) -> str:
    """Let *path* hold the *source*, and say what was done. Raises CommandError."""
    held = path.read_text(encoding="utf-8") if path.exists() else None
    if held == source:
        return "is up to date"
    if not write:
        raise CommandError(f"{path} is out of date. Run: manage.py jobstubs")
    if held is not None and MARK not in held:
        raise CommandError(f"{path} was not written by jobstubs, and is left alone. Choose another --output.")
    path.write_text(source, encoding="utf-8", newline="\n")
    return "was written"


def _project() -> Path:
    """The folder of the module of urls, or else of that of the settings."""
    name = getattr(settings, "ROOT_URLCONF", None) or getattr(settings, "SETTINGS_MODULE", "")
    spec = find_spec(name) if name else None
    if spec is None or spec.origin is None:
        raise CommandError(
            "There is no ROOT_URLCONF, and no settings module, beside which to write it. Say where with --output."
        )
    return Path(spec.origin).parent
