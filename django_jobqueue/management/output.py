"""Answers of commands: a table for people, JSON and CSV for programs. None of them lets text speak to the terminal."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from io import StringIO
from typing import Any, TypeAlias

from django.utils import timezone

from django_jobqueue.printable import printable

Cell: TypeAlias = str | int | None

WIDTH = 100
"""Columns that a table takes where no terminal says how wide it is."""
LEAST_LAST = 20
"""Columns that the last column of a table gets, however wide the others are."""
GAP = "  "

FORMULA = ("=", "+", "-", "@")
"""What begins a formula in a spreadsheet."""


def as_table(titles: Sequence[str], rows: Sequence[Sequence[Cell]]) -> list[str]:
    """Lines of aligned columns, under a line of *titles*. Numbers stand right; the last column is cut to the width."""
    lines = [list(titles), *([_shown(cell) for cell in row] for row in rows)]
    numeric = [any(isinstance(row[column], int) for row in rows) for column in range(len(titles))]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    before = sum(widths[:-1]) + len(GAP) * (len(widths) - 1)
    widths[-1] = max(min(widths[-1], terminal_width() - before), LEAST_LAST)
    return [GAP.join(map(_fitted, line, widths, numeric)).rstrip() for line in lines]


def as_record(record: Mapping[str, object], form: str) -> str:
    """One *record* for programs, as a JSON document, or as CSV of one line."""
    return as_csv([record], list(record)) if form == "csv" else as_json(record)


def as_json(document: object) -> str:
    """One JSON document. It is ASCII, so that nothing in it is more than text to a terminal."""
    return json.dumps(document, indent=2, default=_plain)


def as_csv(records: Iterable[Mapping[str, object]], fields: Sequence[str]) -> str:
    """A line for each record, under a line of the names of its *fields*. No cell is a formula to a spreadsheet."""
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(fields)
    writer.writerows([_cell(record[field]) for field in fields] for record in records)
    return out.getvalue()


def utc(moment: datetime) -> str:
    """The moment as programs read it: ISO-8601, in UTC."""
    aware = timezone.make_aware(moment) if timezone.is_naive(moment) else moment
    return aware.astimezone(UTC).isoformat()


def terminal_width() -> int:
    return shutil.get_terminal_size((WIDTH, 0)).columns


def _shown(cell: Cell) -> str:
    if cell is None:
        return ""
    return printable(cell) if isinstance(cell, str) else f"{cell:,}"


def _fitted(text: str, width: int, right: bool) -> str:
    if len(text) > width:
        return f"{text[: width - 1]}…"
    return text.rjust(width) if right else text.ljust(width)


def _plain(value: object) -> Any:
    """What JSON has no word for."""
    return utc(value) if isinstance(value, datetime) else str(value)


def _cell(value: object) -> object:
    if isinstance(value, Mapping | list | tuple):
        value = json.dumps(value, default=_plain)
    elif isinstance(value, datetime):
        value = utc(value)
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.lstrip().startswith(FORMULA) else text
