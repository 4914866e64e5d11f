"""Mappings: sections of options, and things by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from django_jobqueue.conf.options.parser import Parser, Problems, at, closest, refused
from django_jobqueue.errors import ConfigError, shown

T = TypeVar("T")


def mapping(path: str, value: object) -> Mapping[Any, Any]:
    """Parse a mapping; its keys and values are left as they are."""
    if not isinstance(value, Mapping):
        raise refused(path, "a mapping", value)
    return value


def section(path: str, value: object, parsers: Mapping[str, Parser[Any]]) -> dict[str, Any]:
    """Parse a mapping of options, each by its parser; only the options that are given are returned."""
    problems, parsed = Problems(), {}
    for option, given in mapping(path, value).items():
        with problems.gathered():
            if option not in parsers:
                raise ConfigError([f"{path}: unknown option {shown(option)}. {closest(option, parsers)}"])
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
