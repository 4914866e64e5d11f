"""The arguments of ``add()``, checked one by one. Each error is an InvalidRun that begins with the argument's name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

from django.utils import timezone

from django_jobqueue.conf import get_config
from django_jobqueue.conf.options import Parser, label, labels, member, timeout, whole
from django_jobqueue.errors import ConfigError, InvalidRun, nearest, shown
from django_jobqueue.jobs import moments
from django_jobqueue.jobs.keys import KEY_LENGTH
from django_jobqueue.payloads import MAX_INTEGER, MIN_INTEGER, encode_json
from django_jobqueue.states import OnDuplicate

T = TypeVar("T")
Check: TypeAlias = Callable[[str, Any], Any]


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """What is *given*, as the fields of a NewRun. An argument that is None is not given."""
    fields = {}
    for argument, value in given.items():
        if argument not in CHECKS:
            raise InvalidRun(f"{shown(argument)} is not an argument. {nearest(argument, CHECKS)}")
        if value is not None and value is not DEFAULTS.get(argument):
            field, check = CHECKS[argument]
            fields[field] = check(argument, value)
    return fields


def _as_option(parse: Parser[T]) -> Callable[[str, object], T]:
    """Check an argument that is parsed as an option of the settings is."""

    def check(argument: str, value: object) -> T:
        try:
            return parse(argument, value)
        except ConfigError as error:
            raise InvalidRun(f"{error}.") from None

    return check


_key = _as_option(label(KEY_LENGTH))
"""Checks a text that is stored as a key."""


def _moment(argument: str, value: object) -> object:
    return moments.moment(value, argument)


def _delay(argument: str, value: object) -> float:
    return moments.delay(value, argument)


def _expiry(argument: str, value: object) -> object:
    return moments.moment(value, argument) or timezone.now()


def _user(argument: str, value: object) -> str | None:
    """Nobody, where it is the user of a request that nobody signed."""
    return None if getattr(value, "is_anonymous", False) else key(argument, value)


def key(argument: str, value: object) -> str:
    """The primary key of a model's instance, a whole number, or text; as text."""
    text: Any = value
    if hasattr(value, "pk"):
        if value.pk is None:
            raise InvalidRun(f"{argument}: {shown(value)} has no primary key yet. Save it first.")
        text = str(value.pk)
    elif isinstance(value, int) and not isinstance(value, bool) and MIN_INTEGER <= value <= MAX_INTEGER:
        text = str(value)
    return _key(argument, text)


def _metadata(argument: str, value: object) -> str | None:
    """A mapping of JSON values, as JSON text; None for an empty one."""
    if not isinstance(value, Mapping):
        raise InvalidRun(f"{argument}: must be a mapping of names to values, got {shown(value)}.")
    return encode_json(dict(value), root=argument, max_bytes=get_config().payload_max_bytes) if value else None


DEFAULTS: Mapping[str, object] = {"on_duplicate": "skip", "tags": ()}
"""What ``add()`` says of an argument by itself, where that is not None."""

CHECKS: Mapping[str, tuple[str, Check]] = {
    "next_run_at": ("run_at", _moment),
    "delay_seconds": ("delay_seconds", _delay),
    "priority": ("priority", _as_option(whole(-100, 100))),
    "idempotency_key": ("idempotency_key", _key),
    "unique_key": ("unique_key", _key),
    "on_duplicate": ("on_duplicate", _as_option(member(OnDuplicate))),
    "max_attempts": ("max_attempts", _as_option(whole(1, 1000))),
    "timeout_seconds": ("timeout_seconds", _as_option(timeout)),
    "expires_at": ("expires_at", _expiry),
    "concurrency_key": ("concurrency_key", key),
    "rate_key": ("rate_key", key),
    "tags": ("tags", _as_option(labels)),
    "tenant": ("tenant", key),
    "user": ("user", _user),
    "trace_id": ("trace_id", _as_option(label(64))),
    "metadata": ("metadata_text", _metadata),
}
"""The arguments by name: the field of a NewRun that each one sets, and how it is checked."""
