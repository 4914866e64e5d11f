"""Functions that options name by their dotted paths."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any

from django_jobqueue.conf import Function
from django_jobqueue.errors import ConfigError, nearest
from django_jobqueue.jobs.places import place_of


def function_of(where: str, option: Function | None, *, may_be_async: bool = False) -> Callable[..., Any] | None:
    """The function that an option gives or names, if any. *Where* begins the problem of the ConfigError."""
    if option is None:
        return None
    return callable_of(where, option) if may_be_async else plain_function(where, option)


def plain_function(where: str, option: Function) -> Callable[..., Any]:
    """The plain function that an option gives or names. *Where* begins the problem of the ConfigError."""
    function = callable_of(where, option)
    if inspect.iscoroutinefunction(function):
        raise ConfigError(
            [f"{where}: {place_of(function)} is a coroutine function. Make it a plain one: def, not async def."]
        )
    return function


def callable_of(where: str, option: Function) -> Callable[..., Any]:
    """The function of any kind that an option gives or names. *Where* begins the problem of the ConfigError."""
    return imported_function(where, option) if isinstance(option, str) else option


def imported_function(where: str, path: str) -> Callable[..., Any]:
    """The function of that dotted path. *Where* begins the problem of the ConfigError."""
    module_name, _, name = path.rpartition(".")
    try:
        module = import_module(module_name)
    except Exception as error:  # a module may fail in any way
        what = str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
        raise ConfigError([f"{where}: {module_name!r} cannot be imported: {what}."]) from error
    if not hasattr(module, name):
        public = [known for known in vars(module) if not known.startswith("_")]
        raise ConfigError([f"{where}: {module_name!r} has no {name!r}. {nearest(name, public)}"])
    function: Any = getattr(module, name)
    if not callable(function):
        raise ConfigError([f"{where}: {path!r} is not a function, but {type(function).__name__}."])
    return function  # type: ignore[no-any-return]  # nothing is known of its signature
