"""Every command of ours that the documentation tells to call can be called so."""

from __future__ import annotations

import json
import re
import shlex
from argparse import SUPPRESS
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest
from django.core.management import BaseCommand, load_command_class

from django_jobqueue import checks
from tests.docs.pages import DOCS, blocks, pages

pytestmark = pytest.mark.sqlite  # no database is asked

NAMES = [module.name for module in iter_modules(import_module("django_jobqueue.management.commands").__path__)]

COMMANDS = (DOCS / "commands.md").read_text(encoding="utf-8")

SHELL_FORM = re.compile(rf"manage\.py (?P<name>{'|'.join(NAMES)})\b(?P<arguments>[^\n#|>)]*)")
CHECK_ID = re.compile(r"\bjobqueue\.[EWI]\d{3}\b")
LIST_FORM = re.compile(r'\["python", "manage\.py", "(?P<name>runjobs)"(?P<arguments>[^\]\n]*)\]')


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_its_arguments_exist(page: Path) -> None:
    for name, arguments in called(page):
        load_command_class("django_jobqueue", name).create_parser("manage.py", name).parse_args(arguments)  # would exit


@pytest.mark.parametrize("name", NAMES)
def test_each_command_and_each_of_its_options_is_documented(name: str) -> None:
    parser = load_command_class("django_jobqueue", name).create_parser("manage.py", name)
    of_django = {action.dest for action in BaseCommand().create_parser("manage.py", name)._actions}
    told = "\n".join(text for text in map(Path.read_text, pages()) if name in text)

    assert f"[`{name}`" in COMMANDS or f", `{name}`" in COMMANDS
    for action in parser._actions:
        if action.dest not in of_django and action.help is not SUPPRESS and action.option_strings:
            assert any(f"`{option}" in told or f" {option}" in told for option in action.option_strings), action.dest


def test_each_system_check_is_documented() -> None:
    sources = [source.read_text(encoding="utf-8") for source in Path(checks.__file__).parent.glob("*.py")]
    assert set(CHECK_ID.findall(COMMANDS)) == set(CHECK_ID.findall("".join(sources)))


def called(page: Path) -> Iterator[tuple[str, list[str]]]:
    """The name and the arguments of each command in a block of *page*."""
    for block in blocks(page):
        for found in SHELL_FORM.finditer(block.text):
            yield found["name"], shlex.split(found["arguments"])
        for found in LIST_FORM.finditer(block.text):
            yield found["name"], json.loads(f'[""{found["arguments"]}]')[1:]
