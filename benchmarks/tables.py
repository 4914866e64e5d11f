"""What a benchmark prints: a table that can be read in a terminal, and that is Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

COLUMNS = ("", "measured", "ratio", "goal")


class Row(NamedTuple):
    """A figure, what it is as a part of another one, and what that should be."""

    name: str
    measured: str
    ratio: str = ""
    goal: str = ""


def print_table(title: str, rows: Sequence[Row]) -> None:
    """Print *rows* below *title*, without the columns that none of them has."""
    columns = [column for column in zip(COLUMNS, *rows, strict=True) if any(column[1:])]
    widths = [max(map(len, column)) for column in columns]
    print(f"\n{title}\n")
    for number, cells in enumerate(zip(*columns, strict=True)):
        name, *others = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        print("|", name, "|", " | ".join(other.strip().rjust(len(other)) for other in others), "|")
        if number == 0:
            print(f"|{'-' * (widths[0] + 2)}|" + "".join(f"{'-' * (width + 1)}:|" for width in widths[1:]))


def at_least(goal: float, value: float, unit: str = "") -> str:
    """Tell a goal that *value* should reach, and whether it does."""
    return _goal("at least", goal, unit, met=value >= goal)


def at_most(goal: float, value: float, unit: str = "") -> str:
    """Tell a goal that *value* should not exceed, and whether it does not."""
    return _goal("at most", goal, unit, met=value <= goal)


def _goal(word: str, goal: float, unit: str, *, met: bool) -> str:
    return f"{word} {goal:,}{unit}: {'met' if met else 'MISSED'}"
