"""Secrets: what of a payload only those may see who have the permission for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, time
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus
from uuid import UUID

from django_jobqueue.jobs.scrubbing import without

if TYPE_CHECKING:
    from django.views.debug import SafeExceptionReporterFilter

DEEPEST = 32
"""How far into a value that nobody has checked yet secrets are looked for: it may contain itself."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """What is secret in the payloads of a job: its *fields*, dotted where nested, and what Django holds for sensitive.

    That is what stands under a key such as ``password``, at any depth, by the project's own filter of error reports.
    """

    fields: tuple[str, ...] = ()
    everything: bool = False
    """Nobody knows what is secret, so all of it is."""
    unknown_name: Callable[[Sequence[Any]], object] | None = None
    """Answers whether no stored payload has the name at the end of a path. What is given under such a name, as under an
    alias of pydantic's, may be any of the fields."""

    def redacted(self, payload: Any) -> Any:
        """The JSON *payload* in its shape, with stars for what is secret."""
        if self.everything:
            return _all_starred(payload)
        if self.unknown_name is not None:
            payload = _starred_where(self.unknown_name, payload, ())
        for field in self.fields:
            payload = _starred_at(payload, field.split("."))
        return redacted(payload)

    def scrubbed(self, text: str, payload: Any) -> str:
        """*text* with stars for the secret values of *payload*, as they are, and as Python, JSON or a URL writes them."""
        return self.scrubber(payload)(text)

    def scrubber(self, payload: Any) -> Callable[[str], str]:
        """``scrubbed`` for many texts."""
        plain = _plain(payload)
        words = {form for value in _replaced(plain, self.redacted(plain)) for form in _forms(value)}
        return partial(without, words=words, stars=_stars())


def redacted(value: Any) -> Any:
    """Any JSON *value* in its shape, with stars for what stands under a sensitive key."""
    if isinstance(value, dict):
        cleanse = _filter().cleanse_setting
        return {key: cleanse(key, item) for key, item in value.items()}
    return [redacted(item) for item in value] if isinstance(value, list) else value


def _filter() -> SafeExceptionReporterFilter:
    """What the project takes for sensitive."""
    # Imports models, and jobs are declared before Django's app registry is ready.
    from django.views.debug import get_default_exception_reporter_filter

    return get_default_exception_reporter_filter()


def _stars() -> str:
    return str(_filter().cleansed_substitute)


def _all_starred(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _all_starred(item) for key, item in value.items()}
    return [_all_starred(item) for item in value] if isinstance(value, list) else _stars()


def _starred_where(unknown_name: Callable[[Sequence[Any]], object], value: Any, path: Sequence[Any]) -> Any:
    """*value*, which stands at *path*, with stars for what stands under an unknown name."""
    if isinstance(value, list):
        return [_starred_where(unknown_name, item, path) for item in value]
    if not isinstance(value, dict):
        return value
    paths = {key: (*path, key) for key in value}
    return {
        key: _all_starred(item) if unknown_name(paths[key]) else _starred_where(unknown_name, item, paths[key])
        for key, item in value.items()
    }


def _starred_at(value: Any, path: Sequence[str]) -> Any:
    """*value* with stars at *path*, which goes through lists; also for what has no place for the rest of the path."""
    if path and isinstance(value, list):
        return [_starred_at(item, path) for item in value]
    if not path or not isinstance(value, dict):
        return _stars()
    name, *rest = path
    return {key: _starred_at(item, rest) if key == name else item for key, item in value.items()}


def _plain(value: Any, depth: int = 0) -> Any:
    """What is given as a payload, as JSON has it, as far as it can be seen."""
    if depth > DEEPEST:
        return None
    if is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name, None) for field in fields(value)}
    elif hasattr(type(value), "model_dump_json"):
        value = dict(value)
    if isinstance(value, Mapping):
        return {key: _plain(item, depth + 1) for key, item in value.items()}
    return [_plain(item, depth + 1) for item in value] if isinstance(value, (list, tuple)) else value


def _replaced(value: Any, shown: Any) -> Iterator[Any]:
    """The leaves of *value* for which *shown*, what came of it, has something else."""
    if value is shown:
        return
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _replaced(item, shown.get(key) if isinstance(shown, dict) else shown)
    elif isinstance(value, list):
        others = shown if isinstance(shown, list) else [shown] * len(value)
        for item, other in zip(value, others, strict=True):
            yield from _replaced(item, other)
    else:
        yield value


def _forms(value: Any) -> Iterator[str]:
    """How a text may have *value*."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal | UUID | date | time):
        return
    try:
        text = str(value)
    except ValueError:  # an int of 5,000 digits
        return
    yield from (text, " ".join(text.split()), *(line.strip() for line in text.splitlines()))
    yield from (repr(text)[1:-1], json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
    yield from (quote(text, safe="", errors="replace"), quote_plus(text, errors="replace"))
