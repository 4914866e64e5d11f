"""Keys: how the payload of a run says what a limit counts it by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from django_jobqueue.conf import Function
from django_jobqueue.errors import ConfigError, nearest
from django_jobqueue.jobs.functions import function_of
from django_jobqueue.payloads import PayloadSchema

KeyOf: TypeAlias = Callable[[Mapping[str, Any]], object]
"""Takes the payload, and returns the key, or None for none."""

KEY_LENGTH = 255
"""Characters that a stored key has at most."""


def key_of(where: str, option: Function | None, schema: PayloadSchema, *, own: bool) -> KeyOf | None:
    """What finds the key that an option names: a field of the payload, or a function.

    A job that names a field *own* must have it; for one that gets the option from its queue it may be missing.
    """
    if not isinstance(option, str) or "." in option:
        return function_of(where, option)
    if own:
        require_field(where, option, schema)
    return lambda payload: payload.get(option)


def require_field(where: str, field: str, schema: PayloadSchema) -> None:
    """Raise ConfigError where no payload has such a *field*."""
    if wrong := schema.unknown_name([field]):
        raise ConfigError([f"{where}: there is no {field!r} in the payload. {nearest(*wrong)}"])
