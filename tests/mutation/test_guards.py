"""The list of guards is true: each stands in the source, and is missed by tests that there are."""

from __future__ import annotations

import ast
import re

import pytest

from tests.mutation.__main__ import GUARDS
from tests.mutation.guard import ROOT, Guard

pytestmark = pytest.mark.sqlite  # no database is asked


@pytest.mark.parametrize("guard", GUARDS, ids=str)
def test_a_guard_stands_in_the_source_once_and_can_be_taken_out(guard: Guard) -> None:
    source = (ROOT / guard.path).read_text()

    assert guard.without(source) != source
    ast.parse(guard.without(source))


@pytest.mark.parametrize("guard", GUARDS, ids=str)
def test_the_tests_that_miss_a_guard_are_there(guard: Guard) -> None:
    for node_id in guard.node_ids:
        file, _, name = node_id.partition("::")
        source = (ROOT / file).read_text()
        assert re.search(rf"^(async )?def {name or 'test_'}", source, re.MULTILINE), f"{node_id} is not there"


def test_a_guard_is_asked_for_by_its_only_place() -> None:
    guard = Guard("x.py", "if «a and» b:", "", "x", "x")

    assert guard.without("if c:\nif a  and\n b:") == "if c:\nif \n b:"
    for source in ("if b:", "if a and b:\nif a and b:"):
        with pytest.raises(ValueError, match="values to unpack"):
            guard.without(source)
