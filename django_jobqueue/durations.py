"""Durations, as people read them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

MINUTE, HOUR, DAY = 60, 3600, 86400

UNITS = [(DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (1, "s")]


def span(seconds: float, decimal: Callable[[float], str] = "{:.1f}".format) -> str:
    """A duration in one unit or two: 120 ms, 1.2 s, 41 s, 4 min 10 s, 3 h 5 min, 2 d 4 h."""
    seconds = max(seconds, 0.0)
    if seconds < 0.9995:
        return f"{round(seconds * 1000)} ms"
    if seconds < 9.95:
        return f"{decimal(seconds)} s"
    whole = round(seconds)
    for (size, unit), (part, part_unit) in pairwise(UNITS):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit} {rest} {part_unit}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def roughly(seconds: float) -> str:
    """A duration in its largest unit, whole."""
    size, unit = next(((size, unit) for size, unit in UNITS if seconds >= size), UNITS[-1])
    return f"{int(seconds // size)} {unit}"
