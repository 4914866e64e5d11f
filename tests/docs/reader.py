"""A reader who does what a page says, to the letter.

- A ``python`` block that begins with ``# settings.py`` is a part of the settings: its JOBQUEUE applies from there on.
- One that begins with the path of another file, such as ``# shop/jobs.py``, becomes that module, or adds to it. The
  tests in a file named ``test*.py`` are run.
- All else is typed into one long session, statement by statement, top-level ``await`` included. The names that modules
  define are known there without an import.
- ``$ python manage.py ...`` in a ``console`` block is called; output that the page shows is compared. A ``runjobs``
  that would go on for ever is told to drain.
"""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import signal
import sys
import unittest
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from datetime import timedelta
from io import StringIO
from pathlib import Path
from types import ModuleType, SimpleNamespace, TracebackType
from typing import Any, Self
from unittest.mock import patch

from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.test import TestCase, override_settings
from django.utils import timezone

from django_jobqueue import testing
from django_jobqueue.conf import get_config
from django_jobqueue.jobs import registry
from django_jobqueue.models import Run
from django_jobqueue.retry import Backoff
from tests.docs.expectations import Expectation, compare_output
from tests.docs.pages import ROOT, Block, blocks

MAILBOX = "django.core.mail.backends.locmem.EmailBackend"

FILE = re.compile(r"# (?P<path>[\w/]+)\.py\b")
COMMAND = re.compile(r"^\$ python manage\.py (?P<arguments>.+?)(?: +# .*)?\n(?P<output>(?:(?!\$ ).*\n)*)", re.MULTILINE)


class ExampleBroken(AssertionError):
    """An example of a page does not work. The message names the page and the line."""


class Reader:
    """Follows pages, and leaves nothing behind."""

    def __init__(self) -> None:
        self._undo = ExitStack()
        self.session: dict[str, Any] = {
            "__name__": "session",
            # What a reader of README.md has at hand.
            "order": SimpleNamespace(pk=7),
            "timedelta": timedelta,
            "timezone": timezone,
        }

    def __enter__(self) -> Self:
        self._undo.enter_context(patch.dict(sys.modules))
        for name, value in vars(registry).items():
            self._undo.enter_context(patch.object(registry, name, type(value)()))
        self._undo.enter_context(patch.object(Backoff, "delay", _long_enough(Backoff.delay)))
        self._undo.enter_context(override_settings(MAILERS={"default": {"BACKEND": MAILBOX}}))  # from Django 6.1 on
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._undo.close()

    def follow(self, page: Path) -> None:
        """Do all that *page* says. Raises ExampleBroken at the first example that does not do what it says."""
        for block in blocks(page):
            if block.language == "python":
                self._write(page, block)
            elif block.language == "console":
                self._call(page, block)

    def _write(self, page: Path, block: Block) -> None:
        file = FILE.match(block.text)
        if file is None:
            self._run(page, block, self.session)
        elif file["path"] == "settings":
            written: dict[str, Any] = {}
            self._run(page, block, written)
            self._apply(page, block, written)
        else:
            module = self._module(file["path"].replace("/", "."))
            self._run(page, block, vars(module))
            if file["path"].rpartition("/")[2].startswith("test"):
                self._test(page, block, module)
            self.session |= {name: value for name, value in vars(module).items() if not name.startswith("__")}

    def _run(self, page: Path, block: Block, names: dict[str, Any]) -> None:
        """Execute *block*, with the line numbers of the page."""
        source = "\n" * (block.line - 1) + block.text
        lines = source.splitlines()
        for statement in _parsed(page, block, source):
            value, error = None, None
            try:
                value = _executed(statement, str(page), names)
            except Exception as raised:
                error = raised
            try:
                Expectation.of(statement, lines).compare(value, error)
            except Exception as wrong:
                raise _broken(page, statement.lineno, wrong) from wrong

    def _test(self, page: Path, block: Block, module: ModuleType) -> None:
        """Run the tests of *module*, those for unittest and those for pytest; they begin with an empty table of runs."""
        suite = unittest.defaultTestLoader.loadTestsFromModule(module)
        functions = [value for name, value in vars(module).items() if name.startswith("test_")]
        suite.addTests(_PytestFunction(function) for function in functions)
        result = unittest.TestResult()
        Run.objects.all().delete()
        suite.run(result)
        for _, told in result.errors + result.failures:
            raise _broken(page, block.line, AssertionError(told))
        if not result.testsRun:
            raise _broken(page, block.line, AssertionError("no test in it"))

    def _apply(self, page: Path, block: Block, written: dict[str, Any]) -> None:
        for alias in written.get("DATABASES", {}).keys() - set(settings.DATABASES):
            self._add_database(alias)
        if "JOBQUEUE" in written:
            self._undo.enter_context(override_settings(JOBQUEUE=written["JOBQUEUE"]))
            try:
                get_config()
            except Exception as wrong:
                raise _broken(page, block.line, wrong) from wrong

    def _add_database(self, alias: str) -> None:
        """Let *alias* be another name of the test database, on the same connection."""
        self._undo.enter_context(patch.dict(settings.DATABASES, {alias: settings.DATABASES["default"]}))
        connections[alias] = connections["default"]
        self._undo.callback(connections.__delitem__, alias)

    def _module(self, name: str) -> ModuleType:
        """The module *name*, new if there is none, in packages that are new too."""
        if name not in sys.modules:
            module = sys.modules[name] = ModuleType(name)
            package, _, attribute = name.rpartition(".")
            if package:
                setattr(self._module(package), attribute, module)
        return sys.modules[name]

    def _call(self, page: Path, block: Block) -> None:
        for found in COMMAND.finditer(block.text):
            line = block.line + block.text.count("\n", 0, found.start())
            name, *arguments = shlex.split(found["arguments"])
            if name == "runjobs" and "--drain" not in arguments:
                arguments.append("--drain")
            try:
                printed = _printed_by(name, arguments)
                if found["output"].strip():
                    compare_output(found["output"], printed)
            except (Exception, SystemExit) as wrong:
                raise _broken(page, line, wrong) from wrong


class _PytestFunction(TestCase):
    """A test as pytest runs it, with our fixtures."""

    def __init__(self, function: Callable[..., None]) -> None:
        super().__init__("run_function")
        self._function = function

    def run_function(self) -> None:
        used = [mark.args for mark in getattr(self._function, "pytestmark", []) if mark.name == "usefixtures"]
        with testing.inline() if ("jobqueue_inline",) in used else nullcontext():
            self._function(**dict.fromkeys(inspect.signature(self._function).parameters, testing))


def _long_enough(delay: Callable[..., float]) -> Callable[..., float]:
    """Let a retry be due at once, or only when the page is read, however slow a machine is."""
    return lambda *of_failure: (seconds := delay(*of_failure)) and max(seconds, 30.0)


def _parsed(page: Path, block: Block, source: str) -> list[ast.stmt]:
    try:
        return ast.parse(source, str(page)).body
    except SyntaxError as wrong:
        raise _broken(page, wrong.lineno or block.line, wrong) from wrong


def _executed(statement: ast.stmt, page: str, names: dict[str, Any]) -> object:
    """Execute *statement*, on an event loop if it awaits; answer with its value, if it has one."""
    tree = ast.Expression(statement.value) if isinstance(statement, ast.Expr) else ast.Module([statement], [])
    mode = "eval" if isinstance(tree, ast.Expression) else "exec"
    code = compile(tree, page, mode, flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if not code.co_flags & inspect.CO_COROUTINE:
        return eval(code, names)  # noqa: S307  # our own pages

    async def awaited() -> object:
        return await eval(code, names)  # noqa: S307  # our own pages

    return async_to_sync(awaited)()


def _printed_by(command: str, arguments: list[str]) -> str:
    out = StringIO()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        call_command(command, *arguments, "--no-color", stdout=out)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return out.getvalue()


def _broken(page: Path, line: int, wrong: BaseException) -> ExampleBroken:
    place = page.relative_to(ROOT) if page.is_relative_to(ROOT) else page
    return ExampleBroken(f"{place}:{line}: {type(wrong).__name__}: {wrong}")
