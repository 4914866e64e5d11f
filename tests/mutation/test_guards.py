"""The list of guards is true: each stands in the source, and is missed by tests that there are."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.mutation.__main__ import GUARDS
from tests.mutation.guard import ROOT, Guard

pytestmark = pytest.mark.sqlite  # no database is asked


def test_each_guard_stands_in_the_source_once_and_can_be_taken_out() -> None:
    for guard in GUARDS:
        source = read(guard.path)

        try:
            without = guard.without(source)
            ast.parse(without)
        except (SyntaxError, ValueError) as error:
            raise AssertionError(f"{guard} cannot be taken out") from error
        assert without != source, f"{guard} is nothing"


def test_the_tests_that_miss_the_guards_are_there() -> None:
    for guard in GUARDS:
        for node_id in guard.node_ids:
            file, _, name = node_id.partition("::")
            there = re.search(rf"^(async )?def {name or 'test_'}", read(file), re.MULTILINE)
            assert there, f"{node_id}, which is to miss {guard}, is not there"


@cache
def read(path: str) -> str:
    return (ROOT / path).read_text()


def test_a_guard_is_asked_for_by_its_only_place() -> None:
    guard = Guard("x.py", "if «a and» b:", "", "x", "x")

    assert guard.without("if c:\nif a  and\n b:") == "if c:\nif \n b:"
    for source in ("if b:", "if a and b:\nif a and b:"):
        with pytest.raises(ValueError, match="values to unpack"):
            guard.without(source)
