"""Parsers of option values: each takes the path of an option and its value, and returns the value as the code wants it.

A value that is refused raises a ConfigError, with the path, what is wanted, and the value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from datetime import datetime
from enum import StrEnum
from keyword import iskeyword
from typing import Any, Literal, TypeAlias, TypeVar, get_args

from django.conf import settings
from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_naive, make_aware

from django_jobqueue.errors import ConfigError, nearest, shown
from django_jobqueue.limits import Rate
from django_jobqueue.retry import Backoff, Mode

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)
Parser = Callable[[str, Any], T]

Reach: TypeAlias = Literal["pending", "live"] | int
"""How far uniqueness reaches: until a run is claimed, until it has ended, or through a window of so many seconds."""

Function: TypeAlias = Callable[..., Any] | str
ErrorClass: TypeAlias = type[BaseException] | str
"""A function, or the dotted path of one."""

PayloadKey: TypeAlias = tuple[str, ...] | Function
"""What of a payload is its key: fields of it, or what a function makes of it."""

WEEK_SECONDS = 7 * 86400.0
LEAST_TIMEOUT_SECONDS = 0.1
YEAR_SECONDS = 366 * 86400

MOST_TAGS = 20
"""Tags that one run, or one job, may have."""


def parsed_by(parse: Parser[Any]) -> dict[str, Parser[Any]]:
    """Return the metadata of a field that is an option, parsed by *parse*."""
    return {"parse": parse}


def parsers_of(kind: type[Any]) -> dict[str, Parser[Any]]:
    """Return the parsers of all options of the dataclass *kind*, by name."""
    return {item.name: item.metadata["parse"] for item in fields(kind) if "parse" in item.metadata}


class Problems:
    """Gathers the problems of many parsers, to raise them together."""

    def __init__(self) -> None:
        self.found: list[str] = []

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Keep the problems of the ConfigError that the body raises, and go on."""
        try:
            yield
        except ConfigError as error:
            self.found.extend(error.problems)

    def raise_found(self) -> None:
        """Raise one ConfigError with all that was gathered, if anything was."""
        if self.found:
            raise ConfigError(self.found)


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
            raise _refused(path, wanted, value)
        return int(value)

    return parse


def number(least: float, most: float) -> Parser[float]:
    """Parse a number from *least* to *most*; not NaN."""

    def parse(path: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise _refused(path, f"a number from {least:.12g} to {most:.12g}", value)
        return float(value)

    return parse


timeout = number(LEAST_TIMEOUT_SECONDS, WEEK_SECONDS)
"""Parses how long an attempt may take."""


def boolean(path: str, value: object) -> bool:
    """Parse True or False."""
    if not isinstance(value, bool):
        raise _refused(path, "True or False", value)
    return value


def text(path: str, value: object) -> str:
    """Parse text of any length."""
    if not isinstance(value, str):
        raise _refused(path, "text", value)
    return str(value)


def label(longest: int) -> Parser[str]:
    """Parse text of 1 to *longest* printable characters: nothing that a database, a log or a page could choke on."""

    def parse(path: str, value: object) -> str:
        if not isinstance(value, str) or not 1 <= len(value) <= longest or not value.isprintable():
            raise _refused(path, f"text of 1 to {longest} printable characters", value)
        return str(value)

    return parse


def labels(path: str, value: object) -> tuple[str, ...]:
    """Parse a list of labels. One that is there twice counts once; a set is sorted."""
    if not isinstance(value, list | tuple | set | frozenset):
        raise _refused(path, "a list of texts", value)
    if len(value) > MOST_TAGS:
        raise _refused(path, f"a list of at most {MOST_TAGS} texts", value)
    parsed = dict.fromkeys(_tag(path, item) for item in value)
    return tuple(sorted(parsed) if isinstance(value, set | frozenset) else parsed)


def one_of(*words: str) -> Parser[str]:
    """Parse one of the *words*."""

    def parse(path: str, value: object) -> str:
        if not isinstance(value, str) or value not in words:
            raise _refused(path, f"one of {', '.join(map(repr, words))}", value)
        return str(value)

    return parse


def member(kind: type[E]) -> Parser[E]:
    """Parse a member of the enumeration *kind*, or its word."""
    word = one_of(*(str(item) for item in kind))
    return lambda path, value: kind(word(path, value))


def optional(parse: Parser[T]) -> Parser[T | None]:
    """Parse None, or what *parse* parses."""
    return lambda path, value: None if value is None else parse(path, value)


def name(longest: int) -> Parser[str]:
    """Parse a name of at most *longest* characters."""
    pattern = re.compile(rf"[A-Za-z_][\w.:-]{{0,{longest - 1}}}", re.ASCII)

    def parse(path: str, value: object) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ConfigError(
                [
                    f"{path}: {shown(value)} is not a valid name. Use 1 to {longest} ASCII letters, digits, '_', '.', ':' "
                    f"and '-', beginning with a letter or '_'."
                ]
            )
        return str(value)

    return parse


def names(longest: int) -> Parser[tuple[str, ...]]:
    """Parse a list of names, each of at most *longest* characters."""
    parse_name = name(longest)

    def parse(path: str, value: object) -> tuple[str, ...]:
        if not isinstance(value, list | tuple):
            raise _refused(path, "a list of names", value)
        problems, parsed = Problems(), []
        for index, item in enumerate(value):
            with problems.gathered():
                parsed.append(parse_name(at(path, index), item))
        problems.raise_found()
        return tuple(dict.fromkeys(parsed))

    return parse


def payload_fields(path: str, value: object) -> tuple[str, ...]:
    """Parse a list of fields of a payload, dotted where nested."""
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) and all(item.split(".")) for item in value):
        raise _refused(path, "a list of fields of the payload, such as ['token', 'card.number']", value)
    return tuple(dict.fromkeys(value))


def dotted_path(path: str, value: object) -> str:
    """Parse the dotted path of a function. It is not imported."""
    parts = value.split(".") if isinstance(value, str) else []
    if len(parts) < 2 or not all(part.isidentifier() and not iskeyword(part) for part in parts):
        raise _refused(path, "a dotted path such as 'shop.jobs.send_mail'", value)
    return str(value)


def function(path: str, value: object) -> Function:
    """Parse a function, or the dotted path of one, which is not imported."""
    if callable(value):
        return value
    try:
        return dotted_path(path, value)
    except ConfigError:
        raise _refused(path, "a function, or a dotted path such as 'shop.rules.may_send'", value) from None


def error_classes(path: str, value: object) -> tuple[ErrorClass, ...]:
    """Parse a list of exception classes, or of their dotted paths, which are not imported."""
    if not isinstance(value, list | tuple):
        raise _refused(path, "a list of exception classes, or of their dotted paths", value)
    problems, parsed = Problems(), []
    for index, item in enumerate(value):
        with problems.gathered():
            parsed.append(_error_class(f"{path}[{index}]", item))
    problems.raise_found()
    return tuple(parsed)


def _error_class(path: str, value: object) -> ErrorClass:
    if isinstance(value, type) and issubclass(value, BaseException):
        return value
    try:
        return dotted_path(path, value)
    except ConfigError:
        raise _refused(path, "an exception class, or a dotted path such as 'shop.errors.CardRefused'", value) from None


def schema(path: str, value: object) -> type[Any] | str:
    """Parse a type, or the dotted path of one, which is not imported."""
    if isinstance(value, type):
        return value
    try:
        return dotted_path(path, value)
    except ConfigError:
        raise _refused(path, "a type, or a dotted path such as 'shop.orders.Order'", value) from None


def upgrades(path: str, value: object) -> dict[int, Function]:
    """Parse a mapping of versions to functions."""
    problems, parsed = Problems(), {}
    for version, given in mapping(path, value).items():
        with problems.gathered():
            whole(1)(path, version)
            parsed[version] = function(at(path, version), given)
    problems.raise_found()
    return parsed


def rate(path: str, value: object) -> Rate:
    """Parse a rate such as "100/m"."""
    try:
        return Rate.parse(value if isinstance(value, str) else "")
    except ValueError:
        wanted = 'a number of starts and a unit of time, s, m, h or d, such as "100/m" or "5/10s"'
        raise _refused(path, wanted, value) from None


def key_source(path: str, value: object) -> Function:
    """Parse where a key comes from: a field of the payload, or a function of the payload, or the dotted path of one."""
    if callable(value):
        return value
    parts = value.split(".") if isinstance(value, str) else []
    if not parts or not all(part.isidentifier() and not iskeyword(part) for part in parts):
        wanted = "the name of a payload field, or the dotted path of a function such as 'shop.keys.of_customer'"
        raise _refused(path, wanted, value)
    return str(value)


def payload_key(path: str, value: object) -> PayloadKey:
    """Parse the name of a payload field, a list of names, a function, or the dotted path of one, which is not imported."""
    if isinstance(value, str) and value and "." not in value:
        return (value,)
    if isinstance(value, list | tuple) and value and all(isinstance(name, str) and name for name in value):
        return tuple(value)
    try:
        return function(path, value)
    except ConfigError:
        wanted = "a field of the payload, a list of them, a function, or a dotted path such as 'shop.keys.of_order'"
        raise _refused(path, wanted, value) from None


def reach(path: str, value: object) -> Reach:
    """Parse how far uniqueness reaches."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= YEAR_SECONDS:
        return value
    if isinstance(value, str) and value in ("pending", "live"):
        return value  # type: ignore[return-value]
    raise _refused(path, f"'pending', 'live', or whole seconds from 1 to {YEAR_SECONDS}", value)


def database_alias(path: str, value: object) -> str:
    """Parse an alias of ``settings.DATABASES``."""
    aliases = settings.DATABASES
    if not isinstance(value, str) or value not in aliases:
        raise ConfigError([f"{path}: {shown(value)} is not an alias of DATABASES. {_nearest(value, aliases)}"])
    return value


def moment(path: str, value: object) -> datetime:
    """Parse a datetime, or ISO-8601 text; it has a time zone afterwards."""
    when = value
    if isinstance(value, str):
        try:
            when = parse_datetime(value)
        except ValueError:
            when = None
    if not isinstance(when, datetime) or (is_naive(when) and settings.USE_TZ):
        raise _refused(path, "a datetime with a time zone, or such a one as ISO-8601 text", value)
    return make_aware(when) if is_naive(when) else when


def mapping(path: str, value: object) -> Mapping[Any, Any]:
    """Parse a mapping; its keys and values are left as they are."""
    if not isinstance(value, Mapping):
        raise _refused(path, "a mapping", value)
    return value


def section(path: str, value: object, parsers: Mapping[str, Parser[Any]]) -> dict[str, Any]:
    """Parse a mapping of options, each by its parser; only the options that are given are returned."""
    problems, parsed = Problems(), {}
    for option, given in mapping(path, value).items():
        with problems.gathered():
            if option not in parsers:
                raise ConfigError([f"{path}: unknown option {shown(option)}. {_nearest(option, parsers)}"])
            parsed[option] = parsers[option](at(path, option), given)
    problems.raise_found()
    return parsed


def named(path: str, value: object, parse_name: Parser[str], parse: Parser[T]) -> dict[str, T]:
    """Parse a mapping of names to values that *parse* parses."""
    problems, parsed = Problems(), {}
    for key, given in mapping(path, value).items():
        with problems.gathered():
            parse_name(path, key)
        with problems.gathered():
            parsed[key] = parse(at(path, key), given)
    problems.raise_found()
    return parsed


def numbers(least: float, most: float) -> Parser[tuple[float, ...]]:
    """Parse a list of at least one number, each from *least* to *most*."""
    parse_number = number(least, most)

    def parse(path: str, value: object) -> tuple[float, ...]:
        if not isinstance(value, list | tuple) or not value:
            raise _refused(path, "a list of at least one number", value)
        problems, parsed = Problems(), []
        for index, item in enumerate(value):
            with problems.gathered():
                parsed.append(parse_number(f"{path}[{index}]", item))
        problems.raise_found()
        return tuple(parsed)

    return parse


def backoff(path: str, value: object) -> Backoff:
    """Parse the mapping of a backoff's options. One that its mode does not read is refused."""
    given = section(path, value, BACKOFF_PARSERS)
    parsed = Backoff(**given)
    unread = given.keys() - {"mode", *_READ_BY_MODE[parsed.mode]}
    problems = [f"{at(path, option)}: not read in mode {parsed.mode!r}" for option in given if option in unread]
    if parsed.mode == "custom" and not parsed.delays_seconds:
        problems.append(f"{path}: mode 'custom' needs delays_seconds")
    if parsed.mode == "exponential" and parsed.initial_seconds > parsed.max_seconds:
        problems.append(
            f"{path}: initial_seconds ({parsed.initial_seconds:g}) is more than max_seconds ({parsed.max_seconds:g})"
        )
    if problems:
        raise ConfigError(problems)
    return parsed


def at(path: str, key: object) -> str:
    """Return the path of what stands under *key* in the mapping at *path*."""
    return f"{path}[{json.dumps(key) if isinstance(key, str) and len(key) <= 200 else shown(key)}]"


_tag = label(64)


def _refused(path: str, wanted: str, value: object) -> ConfigError:
    return ConfigError([f"{path}: must be {wanted}, got {shown(value)}"])


def _nearest(name: object, known: Iterable[str]) -> str:
    return nearest(name if isinstance(name, str) else shown(name), known)


BACKOFF_PARSERS: Mapping[str, Parser[Any]] = {
    "mode": one_of(*get_args(Mode)),
    "initial_seconds": number(0, WEEK_SECONDS),
    "max_seconds": number(0, WEEK_SECONDS),
    "multiplier": number(1, 1000),
    "jitter": number(0, 1),
    "delays_seconds": numbers(0, WEEK_SECONDS),
}

_READ_BY_MODE = {
    "fixed": {"initial_seconds", "jitter"},
    "exponential": {"initial_seconds", "max_seconds", "multiplier", "jitter"},
    "custom": {"delays_seconds", "jitter"},
}
