"""Every ``manage.py runjobs`` that the documentation tells to start would start."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import load_command_class

from tests.docs.pages import blocks, pages

SHELL_FORM = re.compile(r"manage\.py runjobs(?P<arguments>[^\n#]*)")
LIST_FORM = re.compile(r'\["python", "manage\.py", "runjobs"(?P<arguments>[^\]\n]*)\]')


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_its_arguments_exist(page: Path) -> None:
    parser = load_command_class("django_jobqueue", "runjobs").create_parser("manage.py", "runjobs")

    for arguments in started(page):
        parser.parse_args(arguments)  # would exit


def started(page: Path) -> Iterator[list[str]]:
    """The arguments of each ``runjobs`` in a block of *page*."""
    for block in blocks(page):
        yield from (shlex.split(found["arguments"]) for found in SHELL_FORM.finditer(block.text))
        yield from (json.loads(f'[""{found["arguments"]}]')[1:] for found in LIST_FORM.finditer(block.text))
