"""Payloads as JSON text that every database can hold, and that comes back equal from all of them.

All else is refused before it is stored.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any

from django_jobqueue.errors import PayloadError, shown
from django_jobqueue.payloads.refusals import Oversize, Refusal, advice

MAX_DEPTH = 30
"""Lists and mappings inside each other, the outermost included. MariaDB reads 31 at most."""

MAX_INTEGER = 2**63 - 1
MIN_INTEGER = -(2**63)

OVERSIZE = 4
"""A walk stops at this many times the allowed size, because a small value can stand for endless text: a list that holds
one list ten times over, twenty levels deep. Below that, the text is made and its exact size is told."""

# It need not look for circles: the walk has limited the depth.
_to_text = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")).encode

_TEXT_OR_HUGE_FLOAT = re.compile(r'"(?:[^"\\]+|\\.)*"|(?P<float>-?\d+(?:\.\d+)?e\+\d+)')


def encode_json(value: object, *, root: str, max_bytes: int) -> str:
    """Return any JSON *value* as text of at most *max_bytes* bytes of UTF-8; tuples become lists.

    Raises PayloadError, where the place of the flaw begins with the word *root*, and says what to pass instead.
    """
    try:
        _weigh(value, 1, max_bytes)
        text = _to_text(value)
        if "e+" in text:
            text = _TEXT_OR_HUGE_FLOAT.sub(_with_all_digits, text)
        size = len(text) if text.isascii() else len(text.encode())
        if size > max_bytes:
            raise Oversize(str(size), max_bytes)
    except Refusal as refusal:
        raise refusal.told(root) from None
    return text


def decode_json(text: str | bytes, *, root: str) -> Any:
    """Return the value of JSON *text* that comes from outside. Raises PayloadError, which begins with the word *root*.

    A key that stands twice is refused: one of its values would be lost.
    """
    try:
        return json.loads(text, object_pairs_hook=_without_repetition)
    except Refusal as refusal:
        raise refusal.told(root) from None
    except RecursionError:
        raise too_deep().told(root) from None
    except ValueError as error:
        raise PayloadError(f"{root}: is not JSON. {error}.") from None


def storable(text: str) -> str:
    """Return *text* with what no database stores made visible: NUL, and surrogates without their pair."""
    return text.replace("\0", "\ufffd").encode("utf-8", "backslashreplace").decode()


def too_deep() -> Refusal:
    """The refusal of a value that is nested too deep."""
    return Refusal(f"nesting deeper than {MAX_DEPTH} levels. Flatten it; if it contains itself, pass a copy.")


def _with_all_digits(found: re.Match[str]) -> str:
    """Write a float of 1e16 or more so that PostgreSQL, which would tell of 1e16 as an int, keeps it a float."""
    return found[0] if found["float"] is None else f"{float(found[0]):.1f}"


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Refusal(f"the key {shown(twice)} stands twice in one mapping. Remove one.")
    return mapping


def _weigh(value: object, depth: int, max_bytes: int) -> int:
    """Return the least bytes that *value* takes as JSON. Raises Refusal, at the latest soon after *max_bytes*."""
    if isinstance(value, str):
        return _weigh_text(value)
    if value is None:
        return 4
    if isinstance(value, int):
        if not MIN_INTEGER <= value <= MAX_INTEGER:
            raise Refusal("an integer beyond 64 bits does not survive every database. Pass it as text.")
        return 1
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Refusal(f"{json.dumps(value)} is not JSON. Pass None, or text.")
        return 1 if -1e16 < value < 1e16 else 18  # all its digits will be written
    if isinstance(value, (dict, list, tuple)):
        return _weigh_items(value, depth, max_bytes)
    advised = advice(value) or "Pass text, numbers, booleans, None, lists and dicts."
    raise Refusal(f"{type(value).__name__} is not JSON. {advised}")


def _weigh_text(text: str) -> int:
    if "\0" in text:
        raise Refusal(f"{shown(text)} contains NUL, which databases refuse. Remove it.")
    if not text.isascii():
        try:
            return len(text.encode())
        except UnicodeEncodeError:
            raise Refusal(f"{shown(text)} contains a lone surrogate, which is not Unicode. Remove it.") from None
    return len(text)


def _weigh_items(value: dict[Any, Any] | list[Any] | tuple[Any, ...], depth: int, max_bytes: int) -> int:
    if depth > MAX_DEPTH:
        raise too_deep()
    items: Iterable[tuple[Any, Any]]
    if isinstance(value, dict):
        size, items = sum(map(_weigh_key, value)), value.items()
    else:
        size, items = 0, enumerate(value)
    for key, item in items:
        try:
            size += 1 + _weigh(item, depth + 1, max_bytes)
        except Refusal as refusal:
            refusal.keys.append(key)
            raise
        if size > max_bytes * OVERSIZE:
            raise Oversize(f"more than {max_bytes * OVERSIZE}", max_bytes)
    return size


def _weigh_key(key: object) -> int:
    if not isinstance(key, str):
        raise Refusal(f"the key {shown(key)} is not text. JSON has text keys only.")
    try:
        return _weigh_text(key)
    except Refusal as refusal:
        raise Refusal(f"the key {refusal}") from None
