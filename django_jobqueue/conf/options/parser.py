"""Parsers: each takes the path of an option and its value, and returns the value as the code wants it.

A value that is refused raises a ConfigError, with the path, what is wanted, and the value.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, TypeVar

from django_jobqueue.errors import ConfigError, nearest, shown

T = TypeVar("T")

Parser = Callable[[str, Any], T]


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


def optional(parse: Parser[T]) -> Parser[T | None]:
    """Parse None, or what *parse* parses."""
    return lambda path, value: None if value is None else parse(path, value)


def at(path: str, key: object) -> str:
    """Return the path of what stands under *key* in the mapping at *path*."""
    return f"{path}[{json.dumps(key) if isinstance(key, str) and len(key) <= 200 else shown(key)}]"


def refused(path: str, wanted: str, value: object) -> ConfigError:
    return ConfigError([f"{path}: must be {wanted}, got {shown(value)}"])


def closest(name: object, known: Iterable[str]) -> str:
    return nearest(name if isinstance(name, str) else shown(name), known)
