"""Numbers, rates and True or False."""

from __future__ import annotations

from django_jobqueue.conf.options.parser import Parser, Problems, refused
from django_jobqueue.limits import Rate

WEEK_SECONDS = 7 * 86400.0

LEAST_TIMEOUT_SECONDS = 0.1


def whole(least: int, most: int | None = None) -> Parser[int]:
    """Parse a whole number from *least* to *most*."""
    wanted = f"a whole number of at least {least}" if most is None else f"a whole number from {least} to {most}"

    def parse(path: str, value: object) -> int:
        if (
            isinstance(value, bool)
            or not isinstance(value, int)
            or value < least
            or (most is not None and value > most)
        ):
            raise refused(path, wanted, value)
        return int(value)

    return parse


def number(least: float, most: float) -> Parser[float]:
    """Parse a number from *least* to *most*; not NaN."""

    def parse(path: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise refused(path, f"a number from {least:.12g} to {most:.12g}", value)
        return float(value)

    return parse


def numbers(least: float, most: float) -> Parser[tuple[float, ...]]:
    """Parse a list of at least one number, each from *least* to *most*."""
    parse_number = number(least, most)

    def parse(path: str, value: object) -> tuple[float, ...]:
        if not isinstance(value, list | tuple) or not value:
            raise refused(path, "a list of at least one number", value)
        problems, parsed = Problems(), []
        for index, item in enumerate(value):
            with problems.gathered():
                parsed.append(parse_number(f"{path}[{index}]", item))
        problems.raise_found()
        return tuple(parsed)

    return parse


timeout = number(LEAST_TIMEOUT_SECONDS, WEEK_SECONDS)
"""Parses how long an attempt may take."""


def boolean(path: str, value: object) -> bool:
    """Parse True or False."""
    if not isinstance(value, bool):
        raise refused(path, "True or False", value)
    return value


def rate(path: str, value: object) -> Rate:
    """Parse a rate such as "100/m"."""
    try:
        return Rate.parse(value if isinstance(value, str) else "")
    except ValueError:
        wanted = 'a number of starts and a unit of time, s, m, h or d, such as "100/m" or "5/10s"'
        raise refused(path, wanted, value) from None
