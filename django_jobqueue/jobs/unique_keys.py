"""Unique keys: what of a payload two runs of a unique job have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django_jobqueue.conf import PayloadKey
from django_jobqueue.conf.options import label
from django_jobqueue.errors import ConfigError, shown
from django_jobqueue.jobs.functions import function_of
from django_jobqueue.jobs.keys import KEY_LENGTH, KeyOf, require_field
from django_jobqueue.jobs.places import place_of
from django_jobqueue.payloads import PayloadSchema


def unique_key_of(where: str, option: PayloadKey | None, schema: PayloadSchema) -> KeyOf | None:
    """What the option says: it answers with a JSON value. *Where* begins the problem of the ConfigError."""
    if not isinstance(option, tuple):
        function = function_of(where, option)
        return None if function is None else lambda payload: _answer(function, payload)
    for field in option:
        require_field(where, field, schema)
    if len(option) == 1:
        return lambda payload: payload.get(option[0])
    return lambda payload: [payload.get(field) for field in option]


def _answer(function: Callable[[Mapping[str, Any]], object], payload: Mapping[str, Any]) -> str:
    answer = function(payload)
    try:
        return label(KEY_LENGTH)("", answer)
    except ConfigError:
        wanted = f"text of 1 to {KEY_LENGTH} printable characters"
        raise TypeError(f"{place_of(function)}() must answer {wanted}, got {shown(answer)}.") from None
