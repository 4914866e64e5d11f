"""Functions and classes, or their dotted paths. Nothing is imported."""

from __future__ import annotations

from collections.abc import Callable
from keyword import iskeyword
from typing import Any, TypeAlias

from django_jobqueue.conf.options.numbers import whole
from django_jobqueue.conf.options.parser import Problems, at, refused
from django_jobqueue.conf.options.sections import mapping
from django_jobqueue.errors import ConfigError

Function: TypeAlias = Callable[..., Any] | str
"""A function, or the dotted path of one."""

ErrorClass: TypeAlias = type[BaseException] | str
"""An exception class, or the dotted path of one."""


def dotted_path(path: str, value: object) -> str:
    """Parse the dotted path of a function. It is not imported."""
    parts = value.split(".") if isinstance(value, str) else []
    if len(parts) < 2 or not all(part.isidentifier() and not iskeyword(part) for part in parts):
        raise refused(path, "a dotted path such as 'shop.jobs.send_mail'", value)
    return str(value)


def function(path: str, value: object) -> Function:
    """Parse a function, or the dotted path of one, which is not imported."""
    if callable(value):
        return value
    try:
        return dotted_path(path, value)
    except ConfigError:
        raise refused(path, "a function, or a dotted path such as 'shop.rules.may_send'", value) from None


def error_classes(path: str, value: object) -> tuple[ErrorClass, ...]:
    """Parse a list of exception classes, or of their dotted paths, which are not imported."""
    if not isinstance(value, list | tuple):
        raise refused(path, "a list of exception classes, or of their dotted paths", value)
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
        raise refused(path, "an exception class, or a dotted path such as 'shop.errors.CardRefused'", value) from None


def schema(path: str, value: object) -> type[Any] | str:
    """Parse a type, or the dotted path of one, which is not imported."""
    if isinstance(value, type):
        return value
    try:
        return dotted_path(path, value)
    except ConfigError:
        raise refused(path, "a type, or a dotted path such as 'shop.orders.Order'", value) from None


def upgrades(path: str, value: object) -> dict[int, Function]:
    """Parse a mapping of versions to functions."""
    problems, parsed = Problems(), {}
    for version, given in mapping(path, value).items():
        with problems.gathered():
            whole(1)(path, version)
            parsed[version] = function(at(path, version), given)
    problems.raise_found()
    return parsed
