"""Keys: what of a payload counts, and how far."""

from __future__ import annotations

from keyword import iskeyword
from typing import Literal, TypeAlias

from django_jobqueue.conf.options.functions import Function, function
from django_jobqueue.conf.options.parser import refused
from django_jobqueue.errors import ConfigError

PayloadKey: TypeAlias = tuple[str, ...] | Function
"""What of a payload is its key: fields of it, or what a function makes of it."""

Reach: TypeAlias = Literal["pending", "live"] | int
"""How far uniqueness reaches: until a run is claimed, until it has ended, or through a window of so many seconds."""

YEAR_SECONDS = 366 * 86400


def payload_fields(path: str, value: object) -> tuple[str, ...]:
    """Parse a list of fields of a payload, dotted where nested."""
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) and all(item.split(".")) for item in value):
        raise refused(path, "a list of fields of the payload, such as ['token', 'card.number']", value)
    return tuple(dict.fromkeys(value))


def key_source(path: str, value: object) -> Function:
    """Parse where a key comes from: a field of the payload, or a function of the payload, or the dotted path of one."""
    if callable(value):
        return value
    parts = value.split(".") if isinstance(value, str) else []
    if not parts or not all(part.isidentifier() and not iskeyword(part) for part in parts):
        wanted = "the name of a payload field, or the dotted path of a function such as 'shop.keys.of_customer'"
        raise refused(path, wanted, value)
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
        raise refused(path, wanted, value) from None


def reach(path: str, value: object) -> Reach:
    """Parse how far uniqueness reaches."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= YEAR_SECONDS:
        return value
    if isinstance(value, str) and value in ("pending", "live"):
        return value  # type: ignore[return-value]
    raise refused(path, f"'pending', 'live', or whole seconds from 1 to {YEAR_SECONDS}", value)
