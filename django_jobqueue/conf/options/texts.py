"""Texts: words, names, labels, and what is written as text."""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from django.conf import settings
from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_naive, make_aware

from django_jobqueue.conf.options.parser import Parser, Problems, at, closest, refused
from django_jobqueue.errors import ConfigError, shown

E = TypeVar("E", bound=StrEnum)

MOST_TAGS = 20
"""Tags that one run, or one job, may have."""


def text(path: str, value: object) -> str:
    """Parse text of any length."""
    if not isinstance(value, str):
        raise refused(path, "text", value)
    return str(value)


def label(longest: int) -> Parser[str]:
    """Parse text of 1 to *longest* printable characters: nothing that a database, a log or a page could choke on."""

    def parse(path: str, value: object) -> str:
        if not isinstance(value, str) or not 1 <= len(value) <= longest or not value.isprintable():
            raise refused(path, f"text of 1 to {longest} printable characters", value)
        return str(value)

    return parse


def labels(path: str, value: object) -> tuple[str, ...]:
    """Parse a list of labels. One that is there twice counts once; a set is sorted."""
    if not isinstance(value, list | tuple | set | frozenset):
        raise refused(path, "a list of texts", value)
    if len(value) > MOST_TAGS:
        raise refused(path, f"a list of at most {MOST_TAGS} texts", value)
    parsed = dict.fromkeys(_tag(path, item) for item in value)
    return tuple(sorted(parsed) if isinstance(value, set | frozenset) else parsed)


def one_of(*words: str) -> Parser[str]:
    """Parse one of the *words*."""

    def parse(path: str, value: object) -> str:
        if not isinstance(value, str) or value not in words:
            raise refused(path, f"one of {', '.join(map(repr, words))}", value)
        return str(value)

    return parse


def member(kind: type[E]) -> Parser[E]:
    """Parse a member of the enumeration *kind*, or its word."""
    word = one_of(*(str(item) for item in kind))
    return lambda path, value: kind(word(path, value))


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
            raise refused(path, "a list of names", value)
        problems, parsed = Problems(), []
        for index, item in enumerate(value):
            with problems.gathered():
                parsed.append(parse_name(at(path, index), item))
        problems.raise_found()
        return tuple(dict.fromkeys(parsed))

    return parse


def database_alias(path: str, value: object) -> str:
    """Parse an alias of ``settings.DATABASES``."""
    aliases = settings.DATABASES
    if not isinstance(value, str) or value not in aliases:
        raise ConfigError([f"{path}: {shown(value)} is not an alias of DATABASES. {closest(value, aliases)}"])
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
        raise refused(path, "a datetime with a time zone, or such a one as ISO-8601 text", value)
    return make_aware(when) if is_naive(when) else when


_tag = label(64)
