"""Kinds that hold no others: what JSON has itself, and what it has as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import NoneType
from typing import Any
from uuid import UUID

from django.utils.dateparse import parse_duration
from django.utils.duration import duration_iso_string

from django_jobqueue.errors import shown
from django_jobqueue.payloads.kinds import Anything, Kind, Walk
from django_jobqueue.payloads.refusals import unfit

MISSING = object()

MOST_SHOWN = 20
"""Values of one type that a message tells."""


class Native(Kind):
    """A type that JSON has itself. A value of a subclass comes back as one of the type: a StrEnum as text."""

    def __init__(self, type_: type, wanted: str) -> None:
        self.plain = type_
        self._type = type_
        self.wanted = wanted
        self.forms = frozenset({type_})

    def to_json(self, value: Any, walk: Walk) -> Any:
        return self.from_json(value)

    def from_json(self, value: Any) -> Any:
        if type(value) is self._type or (isinstance(value, self._type) and not isinstance(value, bool)):
            return value
        raise unfit(self.wanted, value)


class Float(Kind):
    """A float. A whole number is one too, if no digit gets lost."""

    wanted = "a number"
    forms = frozenset({float})
    plain = float

    def to_json(self, value: Any, walk: Walk) -> Any:
        self.from_json(value)
        return value

    def from_json(self, value: Any) -> float:
        if isinstance(value, float):
            return value
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**64 and float(value) == value:
            return float(value)
        raise unfit(self.wanted, value)


class Written(Kind):
    """A type whose JSON form is text. *write* and *read* raise ValueError for what they cannot write or read."""

    forms = frozenset({str})

    def __init__(
        self,
        type_: type,
        wanted: str,
        write: Callable[[Any], str],
        read: Callable[[Any], Any],
        readable: tuple[type, ...] = (str,),
    ) -> None:
        self.wanted = wanted
        self._readable = readable
        self._type = type_
        self._write = write
        self._read = read

    def to_json(self, value: Any, walk: Walk) -> str:
        if not isinstance(value, self._type):
            value = self.from_json(value)
        try:
            return self._write(value)
        except ValueError:
            raise unfit(self.wanted, value) from None

    def from_json(self, value: Any) -> Any:
        if not isinstance(value, self._readable) or isinstance(value, bool):
            raise unfit(self.wanted, value)
        try:
            return self._read(value)
        except ValueError:
            raise unfit(self.wanted, value) from None


class OneOf(Kind):
    """One of a few values: a Literal, or an Enum, whose members travel as their values."""

    def __init__(self, pairs: Sequence[tuple[Any, Any]]) -> None:
        self._forms = {(type(value), value): form for value, form in pairs}
        self._values = {(type(form), form): value for value, form in pairs}
        words = [shown(form) for _, form in pairs[:MOST_SHOWN]]
        self.wanted = f"one of {', '.join(words)}{', ...' if len(pairs) > MOST_SHOWN else ''}"
        self.forms = frozenset(type(form) for _, form in pairs)

    def to_json(self, value: Any, walk: Walk) -> Any:
        form = _found(self._forms, value)
        if form is not MISSING:
            return form
        self.from_json(value)
        return value

    def from_json(self, value: Any) -> Any:
        found = _found(self._values, value)
        if found is MISSING:
            raise unfit(self.wanted, value)
        return found


def _found(table: Mapping[tuple[type, Any], Any], value: Any) -> Any:
    try:
        return table.get((type(value), value), MISSING)
    except TypeError:  # it has no hash, so it is none of them
        return MISSING


def _read_datetime(text: str) -> datetime:
    if "T" not in text and " " not in text:
        raise ValueError("It has no time.")
    return datetime.fromisoformat(text)


def _write_date(value: date) -> str:
    if isinstance(value, datetime):
        raise ValueError("It has a time.")
    return value.isoformat()


def _write_time(value: time) -> str:
    if value.tzinfo is not None and value.utcoffset() is None:
        raise ValueError("Without a date, its zone has no offset.")
    return value.isoformat()


def _read_duration(text: str) -> timedelta:
    duration = parse_duration(text) if "P" in text else None
    if duration is None:
        raise ValueError("It is not in the form of ISO 8601.")
    return duration


def _write_decimal(value: Decimal) -> str:
    if not value.is_finite():
        raise ValueError("It has no digits.")
    return str(value)


def _read_decimal(value: str | int) -> Decimal:
    try:
        number = Decimal(value)
    except ArithmeticError:
        raise ValueError("It is no number.") from None
    _write_decimal(number)  # NaN is one, and has no form
    return number


SCALARS: dict[Any, Kind] = {
    Any: Anything(),
    object: Anything(),
    NoneType: Native(NoneType, "None"),
    bool: Native(bool, "True or False"),
    int: Native(int, "a whole number"),
    float: Float(),
    str: Native(str, "text"),
    datetime: Written(datetime, "a datetime", datetime.isoformat, _read_datetime),
    date: Written(date, "a date", _write_date, date.fromisoformat),
    time: Written(time, "a time", _write_time, time.fromisoformat),
    timedelta: Written(timedelta, "a timedelta", duration_iso_string, _read_duration),
    UUID: Written(UUID, "a UUID", str, UUID),
    Decimal: Written(Decimal, "a Decimal", _write_decimal, _read_decimal, (str, int)),
}
"""The kinds that need no more than a name."""
