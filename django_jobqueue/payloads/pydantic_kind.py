"""What pydantic knows: its models, ``Annotated`` types, and any type that we do not know ourselves.

The only module that imports pydantic. It is imported itself when an annotation needs it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import (
    PydanticInvalidForJsonSchema,
    PydanticSchemaGenerationError,
    PydanticUndefinedAnnotation,
    PydanticUserError,
)

from django_jobqueue.errors import PayloadError
from django_jobqueue.payloads.json_text import encode_json
from django_jobqueue.payloads.kinds import Kind, UnknownName, Unresolved, Unsupported, Walk
from django_jobqueue.payloads.refusals import Refusal, described

SCALARS = {"string", "integer", "number", "boolean", "null"}
"""Types of a JSON schema that hold no names."""


class PydanticKind(Kind):
    """A type that pydantic reads and writes, by its own rules."""

    forms = frozenset({str, int, float, bool, list, dict})

    def __init__(self, annotation: Any, name: str) -> None:
        self.wanted = name
        self._by_alias = bool(getattr(annotation, "model_config", {}).get("serialize_by_alias"))
        try:
            self._adapter: TypeAdapter[Any] = TypeAdapter(annotation)
            self._adapter.rebuild(raise_errors=True)  # where it is built lazily, tell now that it cannot be
        except PydanticUndefinedAnnotation as error:
            raise Unresolved(error.message) from error
        except PydanticSchemaGenerationError as error:
            raise Unsupported(f"no payload can hold {name}.") from error
        except PydanticUserError as error:
            raise Unsupported(f"no payload can hold {name}: {error.message}") from error

    def to_json(self, value: Any, walk: Walk) -> Any:
        with refusals():
            typed = self._typed(value, walk.max_bytes)
            form = self._adapter.dump_python(typed, mode="json", round_trip=True, warnings=False)
        if self.from_json(form) != typed:
            raise Refusal(f"this {self.wanted} would not come back from JSON as it is.")
        return form

    def from_json(self, value: Any) -> Any:
        with refusals():
            return self._adapter.validate_json(json.dumps(value), by_alias=True, by_name=True)

    def unknown_name(self, path: Sequence[str]) -> UnknownName | None:
        return _unknown_name(path, self._stored, self._stored.get("$defs", {}))

    @cached_property
    def _stored(self) -> Mapping[str, Any]:
        """The JSON schema of what is stored: any JSON, where nobody but the type itself knows what it writes."""
        try:
            return self._adapter.json_schema(mode="serialization", by_alias=self._by_alias)
        except PydanticInvalidForJsonSchema:
            return {}

    def _typed(self, value: Any, max_bytes: int) -> Any:
        """The value that *value* is, or is the JSON form of: JSON is read as JSON, all else as Python."""
        try:
            text = encode_json(value, root="", max_bytes=max_bytes)
        except PayloadError:
            return self._adapter.validate_python(value, by_alias=True, by_name=True)
        return self._adapter.validate_json(text, by_alias=True, by_name=True)


def _unknown_name(path: Sequence[str], schema: Mapping[str, Any], named: Mapping[str, Any]) -> UnknownName | None:
    """``Kind.unknown_name`` by a JSON schema, where the schemas *named* may be referred to."""
    if "$ref" in schema:
        return _unknown_name(path, named[schema["$ref"].rpartition("/")[2]], named)
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        found = [_unknown_name(path, each, named) for each in choices if each.get("type") not in SCALARS]
        return found[0] if found and all(found) else None
    if schema.get("type") == "array":
        return _unknown_name(path, schema.get("items") or {}, named)
    if not path:
        return None
    name, *rest = path
    fields = schema.get("properties", {})
    below = fields.get(name, schema.get("additionalProperties", "properties" not in schema))
    if below is False:
        return UnknownName(name, fields)
    return _unknown_name(rest, below, named) if isinstance(below, Mapping) else None


@contextmanager
def refusals() -> Iterator[None]:
    """Raise Refusal, with its place, for what pydantic does not take."""
    try:
        yield
    except ValidationError as error:
        first, *more = error.errors(include_url=False, include_context=False)
        got = "" if first["type"] == "missing" else f", got {described(first['input'])}"
        refusal = Refusal(first["msg"], f"{got}.{f' And {len(more)} more.' if more else ''}")
        refusal.keys = list(reversed(first["loc"]))
        raise refusal from None
    except ValueError as error:  # it cannot be written
        raise Refusal(f"{error}.") from None
