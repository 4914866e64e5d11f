"""A worker that dies at any line of a tick leaves a schedule of which the next tick makes exactly one run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import django_jobqueue
from django_jobqueue.models import Run, Schedule, Skip
from tests.schedules.conftest import Fired, MakeSchedule, TickAt

pytestmark = pytest.mark.django_db(transaction=True)

PACKAGE = str(Path(django_jobqueue.__file__).parent)


class Died(BaseException):
    """The process is no more."""


def trace_lines(act: Callable[[], object], at_line: Callable[[str, int], None]) -> None:
    """Act, and call *at_line* before each line of the package."""

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        if event == "line":
            at_line(frame.f_code.co_filename, frame.f_lineno)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    finally:
        sys.settrace(before)


def die_at(line: tuple[str, int], act: Callable[[], object]) -> None:
    """Act, but die when *line* is reached."""

    def at_line(*reached: object) -> None:
        if reached == line:
            raise Died

    with suppress(Died):
        trace_lines(act, at_line)


def tables() -> list[list[dict[str, Any]]]:
    return [[dict(row) for row in model.objects.order_by("pk").values()] for model in (Schedule, Skip, Run)]


@pytest.mark.slow
def test_a_worker_that_dies_at_any_line_neither_loses_nor_doubles(
    make_schedule: MakeSchedule, tick: TickAt, fired: Fired
) -> None:
    def begin() -> None:
        for model in (Skip, Run, Schedule):
            model.objects.all().delete()
        make_schedule("7:30", cron="0 * * * *", payload={"to": "ann"})
        make_schedule("5:30", name="skips", cron="0 * * * *", misfire="skip")

    lines = dict[tuple[str, int], None]()
    for _ in range(2):  # what is read once is read
        lines.clear()
        begin()
        trace_lines(lambda: tick("8:00"), lambda *line: lines.setdefault(line))

    def goes_on() -> bool:
        tick("08:00:05")
        return fired() == ["08:00"] and Skip.objects.get().number == 2

    outcomes = set()
    begin()
    before = tables()
    for line in lines:
        die_at(line, lambda: tick("8:00"))
        outcomes.add(len(fired()))
        if tables() == before:
            continue  # as if nothing had been: the end shows what the next tick makes of it
        assert goes_on(), line
        begin()
        before = tables()

    assert goes_on()
    assert outcomes == {0, 1}  # before the commit, and after
    assert len(lines) > 100
