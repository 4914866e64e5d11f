"""Payloads: the arguments of a run, as JSON text that every database can hold, and as arguments of a function.

What is accepted comes back equal, from any database and in any Python process; all else is refused before it is stored.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import functools
import inspect
import json
import math
import pathlib
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Self

from django_jobqueue.errors import PayloadError, nearest, shown

if sys.version_info >= (3, 14):
    import annotationlib

MAX_DEPTH = 30
"""Lists and mappings inside each other, the outermost included. MariaDB reads 31 at most."""

MAX_INTEGER = 2**63 - 1
MIN_INTEGER = -(2**63)

# The walk stops at this many times the allowed size, because a small value can stand for endless text: a list that
# holds one list ten times over, twenty levels deep. Below that, the text is made and its exact size is told.
_OVERSIZE = 4

_ADVICE: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (enum.Enum, "Pass its .value."),
    ((datetime.date, datetime.time), "Pass its isoformat()."),
    (datetime.timedelta, "Pass its total_seconds()."),
    ((decimal.Decimal, uuid.UUID, pathlib.PurePath), "Pass it as text: str(value)."),
    ((bytes, bytearray, memoryview), "Pass text; base64 can carry any bytes."),
    ((set, frozenset), "Pass a sorted list."),
    (Mapping, "Pass a dict: dict(value)."),
    (Iterator, "Pass a list: list(value)."),
)

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)

_MOST_NAMED = 5
"""Unexpected arguments that one message names; looking for the nearest name takes time."""

# It need not look for circles: the walk has limited the depth.
_to_text = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")).encode


def encode(payload: Mapping[str, Any] | None, *, max_bytes: int) -> str:
    """Return *payload* as JSON text of at most *max_bytes* bytes of UTF-8; None is the empty payload.

    Raises PayloadError, naming the place and what to pass instead.
    """
    if payload is None:
        return "{}"
    if not isinstance(payload, Mapping):
        raise PayloadError(f"payload: must be a mapping of argument names to values, got {type(payload).__name__}.")
    plain = payload if isinstance(payload, dict) else dict(payload)
    return encode_json(plain, root="payload", max_bytes=max_bytes)


def encode_json(value: object, *, root: str, max_bytes: int) -> str:
    """Return any JSON *value* as text of at most *max_bytes* bytes of UTF-8; tuples become lists.

    Raises PayloadError, where the place of the flaw begins with the word *root*.
    """
    try:
        _weigh(value, 1, max_bytes * _OVERSIZE)
    except _Flaw as flaw:
        raise PayloadError(f"{flaw.place(root)}: {flaw}") from None
    except _Oversize:
        raise _too_large(root, f"more than {max_bytes * _OVERSIZE}", max_bytes) from None
    text = _to_text(value)
    size = len(text) if text.isascii() else len(text.encode())
    if size > max_bytes:
        raise _too_large(root, str(size), max_bytes)
    return text


def storable(text: str) -> str:
    """Return *text* with what no database stores made visible: NUL, and surrogates without their pair."""
    return text.replace("\0", "\ufffd").encode("utf-8", "backslashreplace").decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What a job function takes: its parameters by name, without their annotations."""

    function_name: str
    """How messages call the function."""

    required: tuple[str, ...]
    """Parameters that the payload must give, in their order."""

    optional: tuple[str, ...]
    """Parameters that the payload may give, in their order."""

    takes_any: bool
    """It has ``**kwargs``: the payload may have any key."""

    takes_payload: bool
    """Its parameter ``payload`` takes the whole payload."""

    takes_run: bool
    """Its parameter ``run`` takes the context of the run."""

    flaws: tuple[str, ...]
    """Why it cannot be a job, in sentences."""

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Self:
        """Read the signature of *function*, but not its annotations: they may name what cannot be imported yet.

        Never raises: that the signature cannot be read is one of the ``problems``.
        """
        try:
            parameters = tuple(_signature(function).parameters.values())
            flaws = tuple(_flaws(parameters))
        except (TypeError, ValueError):
            parameters = ()
            flaws = ("Python cannot tell its parameters. Wrap it in a function that is written in Python.",)
        named = {p.name: p for p in parameters if p.kind in _BY_NAME}
        arguments = [p for name, p in named.items() if name not in ("payload", "run")]
        return cls(
            function_name=_name_of(function),
            required=tuple(p.name for p in arguments if p.default is p.empty),
            optional=tuple(p.name for p in arguments if p.default is not p.empty),
            takes_any=any(p.kind is p.VAR_KEYWORD for p in parameters),
            takes_payload="payload" in named,
            takes_run="run" in named,
            flaws=flaws,
        )

    def problems(self) -> list[str]:
        """Return, in sentences, why the function cannot be a job; empty where it can."""
        return list(self.flaws)

    def check(self, payload: Mapping[Any, Any]) -> None:
        """Raise PayloadError where the function cannot be called with *payload*, naming every wrong argument."""
        if self.takes_payload:
            return
        wrong = [f"{name!r} is missing." for name in self.required if name not in payload]
        wrong += self._unexpected(payload)
        if wrong:
            raise PayloadError(f"payload: does not fit {self.function_name}(). {' '.join(wrong)}")

    def bind(self, payload: Mapping[str, Any], run: object) -> dict[str, Any]:
        """Return the keyword arguments of the call that works *payload*, where *run* is the context of the run."""
        arguments: dict[str, Any] = {"payload": payload} if self.takes_payload else dict(payload)
        if self.takes_run:
            arguments["run"] = run
        return arguments

    def _unexpected(self, payload: Mapping[Any, Any]) -> Iterator[str]:
        known = {*self.required, *self.optional}
        if self.takes_run and "run" in payload:
            yield "'run' is filled by the worker, and cannot be in the payload."
            known.add("run")
        if self.takes_any:
            return
        for key in islice((key for key in payload if key not in known), _MOST_NAMED):
            hint = nearest(key, known) if isinstance(key, str) else "Names are text."
            yield f"{shown(key)} is not a parameter. {hint}"


class _Flaw(Exception):
    """Something that is not portable JSON. Its keys are gathered on the way out, from the innermost."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.keys: list[str | int] = []

    def place(self, root: str) -> str:
        path = root + "".join(f"[{json.dumps(key)}]" for key in reversed(self.keys))
        return path if len(path) <= 200 else f"{path[:197]}..."


class _Oversize(Exception):
    """The value stands for so much text that it is not worth making."""


def _weigh(value: object, depth: int, most: int) -> int:
    """Return the least bytes that *value* takes as JSON. Raises _Flaw; _Oversize where they are over *most*."""
    if isinstance(value, str):
        return _weigh_text(value)
    if value is None:
        return 4
    if isinstance(value, int):
        if not MIN_INTEGER <= value <= MAX_INTEGER:
            raise _Flaw("an integer beyond 64 bits does not survive every database. Pass it as text.")
        return 1
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _Flaw(f"{json.dumps(value)} is not JSON. Pass None, or text.")
        return 1
    if isinstance(value, (dict, list, tuple)):
        return _weigh_items(value, depth, most)
    raise _Flaw(f"{type(value).__name__} is not JSON. {_advice(value)}")


def _weigh_text(text: str) -> int:
    if "\0" in text:
        raise _Flaw(f"{shown(text)} contains NUL, which databases refuse. Remove it.")
    if not text.isascii():
        try:
            return len(text.encode())
        except UnicodeEncodeError:
            raise _Flaw(f"{shown(text)} contains a lone surrogate, which is not Unicode. Remove it.") from None
    return len(text)


def _weigh_items(value: dict[Any, Any] | list[Any] | tuple[Any, ...], depth: int, most: int) -> int:
    if depth > MAX_DEPTH:
        raise _Flaw(f"nesting deeper than {MAX_DEPTH} levels. Flatten it; if it contains itself, pass a copy.")
    items: Iterable[tuple[Any, Any]]
    if isinstance(value, dict):
        size, items = sum(map(_weigh_key, value)), value.items()
    else:
        size, items = 0, enumerate(value)
    for key, item in items:
        try:
            size += 1 + _weigh(item, depth + 1, most)
        except _Flaw as flaw:
            flaw.keys.append(key)
            raise
        if size > most:
            raise _Oversize
    return size


def _weigh_key(key: object) -> int:
    if not isinstance(key, str):
        raise _Flaw(f"the key {shown(key)} is not text. JSON has text keys only.")
    try:
        return _weigh_text(key)
    except _Flaw as flaw:
        raise _Flaw(f"the key {flaw}") from None


def _advice(value: object) -> str:
    if hasattr(type(value), "_meta") and hasattr(type(value), "pk"):
        return "Pass its .pk, and load it in the job."
    for types, advice in _ADVICE:
        if isinstance(value, types):
            return advice
    return "Pass text, numbers, booleans, None, lists and dicts."


def _too_large(root: str, size: str, max_bytes: int) -> PayloadError:
    return PayloadError(
        f"{root}: takes {size} bytes as JSON, and {max_bytes} are allowed. Store it elsewhere and pass its key."
    )


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    if sys.version_info >= (3, 14):
        # From this version on, reading a signature evaluates the annotations unless told otherwise.
        return inspect.signature(function, annotation_format=annotationlib.Format.FORWARDREF)
    return inspect.signature(function)


def _flaws(parameters: Sequence[inspect.Parameter]) -> Iterator[str]:
    for parameter in parameters:
        if parameter.kind is parameter.POSITIONAL_ONLY:
            yield f"Parameter {parameter.name!r} is positional-only, but arguments go by name. Remove the '/' after it."
        elif parameter.kind is parameter.VAR_POSITIONAL:
            yield f"'*{parameter.name}' would never get anything, for arguments go by name. Remove it."
    names = {parameter.name for parameter in parameters if parameter.kind in _BY_NAME}
    others = [f"{p.name!r}" for p in parameters if p.name not in ("payload", "run") or p.kind not in _BY_NAME]
    if "payload" in names and others:
        yield f"Parameter 'payload' takes the whole payload, which leaves nothing for {', '.join(others)}. Rename it."


def _name_of(function: Callable[..., Any]) -> str:
    if isinstance(function, functools.partial):
        return _name_of(function.func)
    return str(getattr(function, "__name__", type(function).__name__))
