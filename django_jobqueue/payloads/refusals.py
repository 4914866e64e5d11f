"""Refusals: what is wrong with a value in a payload, and where it is."""

from __future__ import annotations

import datetime
import decimal
import enum
import json
import pathlib
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from django_jobqueue.errors import PayloadError, nearest, shown

_LOAD_LATER = "Pass its .pk, and load it in the job."

_ADVICE: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (enum.Enum, "Pass its .value."),
    ((datetime.date, datetime.time), "Pass its isoformat()."),
    (datetime.timedelta, "Pass its total_seconds()."),
    ((decimal.Decimal, uuid.UUID, pathlib.PurePath), "Pass it as text: str(value)."),
    ((bytes, bytearray, memoryview), "Pass text; base64 can carry any bytes."),
    ((set, frozenset), "Pass a sorted list."),
    (Mapping, "Pass a dict: dict(value)."),
    (Iterator, "Pass a list: list(value)."),
)

_SHORT = (
    *(str, int, float, type(None), enum.Enum, decimal.Decimal, uuid.UUID),
    *(datetime.date, datetime.time, datetime.timedelta),
)

_MOST_NAMED = 5
"""Unexpected names that one message tells; looking for the nearest one takes time."""


class Refusal(Exception):
    """A value is refused: what is wrong with it, and then what is told of this value only."""

    def __init__(self, problem: str, detail: str = "") -> None:
        super().__init__(f"{problem}{detail}")
        self.problem = problem
        self.keys: list[str | int] = []
        """The place: who holds the value adds its key on the way out, so the innermost comes first."""

    def told(self, root: str) -> PayloadError:
        """The error that names the place, which begins with the word *root*."""
        keys = self.keys[::-1]
        place = root + "".join(f"[{json.dumps(key)}]" for key in keys)
        any_place = root + "".join(f"[{json.dumps(key)}]" if isinstance(key, str) else "[...]" for key in keys)
        return PayloadError(f"{_cut(place)}: {self}", f"{_cut(any_place)}: {self.problem}")


def _cut(place: str) -> str:
    return place if len(place) <= 200 else f"{place[:197]}..."


class Oversize(Refusal):
    """The whole takes *size* bytes, wherever that was found out."""

    def __init__(self, size: str, max_bytes: int) -> None:
        super().__init__(
            f"takes {size} bytes as JSON, and {max_bytes} are allowed. Store it elsewhere and pass its key."
        )

    def told(self, root: str) -> PayloadError:
        return PayloadError(f"{root}: {self}")


def unfit(wanted: str, value: object) -> Refusal:
    """The refusal of a *value* that is not what is *wanted*."""
    hint = f" {_LOAD_LATER}" if _is_model(value) else ""
    return Refusal(f"must be {wanted}", f", got {described(value)}.{hint}")


def described(value: object) -> str:
    """*value* for a message; only its type, where its repr may be endless, or ask the database."""
    return shown(value) if isinstance(value, _SHORT) else type(value).__name__


def wrong_names(given: Collection[Any], required: Iterable[str], known: Collection[str], noun: str) -> Iterator[str]:
    """Say in a sentence each what is missing among the *given* names, and which are not *known*."""
    yield from (f"{name!r} is missing." for name in required if name not in given)
    for key in islice((key for key in given if key not in known), _MOST_NAMED):
        hint = nearest(key, known) if isinstance(key, str) else "Names are text."
        yield f"{shown(key)} is not a {noun}. {hint}"


def advice(value: object) -> str | None:
    """What to pass instead of *value*, which is not JSON; None where nobody can tell."""
    if _is_model(value):
        return _LOAD_LATER
    return next((advised for types, advised in _ADVICE if isinstance(value, types)), None)


def _is_model(value: object) -> bool:
    return hasattr(type(value), "_meta") and hasattr(type(value), "pk")
