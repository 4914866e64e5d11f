"""Every command of ours that the documentation tells to call can be called so."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest
from django.core.management import load_command_class

from tests.docs.pages import blocks, pages

NAMES = [module.name for module in iter_modules(import_module("django_jobqueue.management.commands").__path__)]

SHELL_FORM = re.compile(rf"manage\.py (?P<name>{'|'.join(NAMES)})\b(?P<arguments>[^\n#|>)]*)")
LIST_FORM = re.compile(r'\["python", "manage\.py", "(?P<name>runjobs)"(?P<arguments>[^\]\n]*)\]')


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_its_arguments_exist(page: Path) -> None:
    for name, arguments in called(page):
        load_command_class("django_jobqueue", name).create_parser("manage.py", name).parse_args(arguments)  # would exit


def called(page: Path) -> Iterator[tuple[str, list[str]]]:
    """The name and the arguments of each command in a block of *page*."""
    for block in blocks(page):
        for found in SHELL_FORM.finditer(block.text):
            yield found["name"], shlex.split(found["arguments"])
        for found in LIST_FORM.finditer(block.text):
            yield found["name"], json.loads(f'[""{found["arguments"]}]')[1:]
