"""Keys: how the payload of a run says what a limit counts it by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from django_jobqueue.conf import Function
from django_jobqueue.errors import ConfigError, nearest
from django_jobqueue.jobs.functions import function_of
from django_jobqueue.payloads import Parameters

KeyOf: TypeAlias = Callable[[Mapping[str, Any]], object]
"""Takes the payload, and returns the key, or None for none."""


def key_of(where: str, option: Function | None, parameters: Parameters, *, own: bool) -> KeyOf | None:
    """What finds the key that an option names: a field of the payload, or a function.

    A job that names a field *own* must have it; for one that gets the option from its queue it may be missing.
    """
    if not isinstance(option, str) or "." in option:
        return function_of(where, option)
    known = [*parameters.required, *parameters.optional]
    if own and option not in known and not (parameters.takes_any or parameters.takes_payload):
        raise ConfigError(
            [f"{where}: {option!r} is no parameter of {parameters.function_name}(). {nearest(option, known)}"]
        )
    return lambda payload: payload.get(option)
