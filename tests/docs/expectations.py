"""What an example says will come of it, and whether it did.

    run.state                          # -> 'completed'
    queues.mail.add("send_recept")     # raises UnknownJob: 'send_recept' is not a job of ...

Either comment stands at the end of its statement, or on the line below, and may go on in the lines that follow. ``...``
stands for any text.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, OutputChecker
from itertools import takewhile

COMMENT = re.compile(r"# (?P<kind>->|raises) (?P<text>.+)$")

VOLATILE = [
    (r"\b\d+\.\d+\.\d+\b", "<version>"),
    (r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [A-Z]+\b", "<moment>"),
    (r"\b\d\d:\d\d:\d\d\b", "<time>"),
    (r"\S+\.(py|md):\d+\b", "<place>"),
    (r"\S+:\d+:[0-9a-f]{8}\b", "<worker>"),
    (r"#\d+\b", "<run>"),
    (r"(?m)^\d+$", "<run>"),
    (r"\b\d+(\.\d+)? m?s\b", "<duration>"),
    (r"\b(SQLite|PostgreSQL)\b", "<database>"),
]
"""What differs from one run of a command to the next."""


class Unexpected(AssertionError):
    """An example did something else than it says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What is said of one statement."""

    value: str | None = None
    """The ``repr`` of what it evaluates to."""
    error: str | None = None
    """``Name: message`` of what it raises."""

    @classmethod
    def of(cls, statement: ast.stmt, lines: Sequence[str]) -> Expectation:
        """Read the comment of *statement*, one of *lines*."""
        last = statement.end_lineno or statement.lineno
        below = list(takewhile(lambda line: line.startswith("# "), lines[last:]))
        found = COMMENT.search(lines[last - 1])
        if found is None and below:
            found = COMMENT.match(below.pop(0))
        if found is None:
            return cls()
        told = " ".join([found["text"], *(line.removeprefix("# ") for line in below)])
        return cls(value=told) if found["kind"] == "->" else cls(error=told)

    def compare(self, value: object, error: BaseException | None) -> None:
        """Raise Unexpected, unless *value* or *error* is what was said; an error that nobody announced is raised."""
        if error is not None and self.error is None:
            raise error
        if self.error is not None:
            told = "nothing was raised" if error is None else f"{type(error).__name__}: {error}"
            _same(self.error, told)
        elif self.value is not None:
            _same(self.value, repr(value))


def compare_output(expected: str, printed: str) -> None:
    """Raise Unexpected, unless a command *printed* what was *expected*, but for times, ids and the like."""
    for pattern, placeholder in VOLATILE:
        expected, printed = (re.sub(pattern, placeholder, text) for text in (expected, printed))
    _same(expected.strip(), printed.strip())


def _same(expected: str, told: str) -> None:
    if not OutputChecker().check_output(expected, told, ELLIPSIS | NORMALIZE_WHITESPACE):
        raise Unexpected(f"expected {expected}\n     got {told}")
