"""The delays between failed attempts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from django_jobqueue.conf.options.numbers import WEEK_SECONDS, number, numbers
from django_jobqueue.conf.options.parser import Parser, at
from django_jobqueue.conf.options.sections import section
from django_jobqueue.conf.options.texts import one_of
from django_jobqueue.errors import ConfigError
from django_jobqueue.retry import Backoff, Mode

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
