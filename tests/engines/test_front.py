"""Who stands first in a line: of each line as many as are asked for, in the order of claiming."""

from __future__ import annotations

import pytest

from django_jobqueue.engines.base import Engine
from django_jobqueue.limits import Limit
from tests.engines.conftest import MakeRun

FIRST, SECOND, THIRD = (Limit("key", "", key) for key in "abc")

pytestmark = pytest.mark.django_db


def test_of_each_line_as_many_are_looked_at_as_are_asked_for(engine: Engine, make_run: MakeRun) -> None:
    lines = {line: [make_run(blocked_on=str(line)) for _ in range(3)] for line in (FIRST, SECOND, THIRD)}

    found = engine.front("default", "mail", {FIRST: 2, SECOND: 1, THIRD: 2})

    expected = {*lines[FIRST][:2], *lines[SECOND][:1], *lines[THIRD][:2]}
    assert sorted(run.id for run in found) == sorted(expected)
    assert {run.line for run in found} == {FIRST, SECOND, THIRD}


def test_in_a_line_who_is_claimed_first_stands_first(engine: Engine, make_run: MakeRun) -> None:
    waiting = str(FIRST)
    late, early = make_run(blocked_on=waiting), make_run(blocked_on=waiting, delay_seconds=-60)
    urgent = make_run(blocked_on=waiting, priority=5)
    make_run(blocked_on=waiting, queue="digest")

    found = [[run.id for run in engine.front("default", "mail", {FIRST: number})] for number in (1, 2, 4)]

    assert found == [[urgent], [urgent, early], [urgent, early, late]]


def test_a_line_in_which_nobody_stands_has_no_front(engine: Engine, make_run: MakeRun) -> None:
    make_run(concurrency_key="a")

    assert engine.front("default", "mail", {FIRST: 2, SECOND: 1}) == []
