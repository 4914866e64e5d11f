"""What pydantic knows: its models, ``Annotated`` types, and any type that we do not know ourselves.

The only module that imports pydantic. It is imported itself when an annotation needs it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError

from django_jobqueue.errors import PayloadError
from django_jobqueue.payloads.json_text import encode_json
from django_jobqueue.payloads.kinds import Kind, Unresolved, Unsupported, Walk
from django_jobqueue.payloads.refusals import Refusal, described


class PydanticKind(Kind):
    """A type that pydantic reads and writes, by its own rules."""

    forms = frozenset({str, int, float, bool, list, dict})

    def __init__(self, annotation: Any, name: str) -> None:
        self.wanted = name
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

    def _typed(self, value: Any, max_bytes: int) -> Any:
        """The value that *value* is, or is the JSON form of: JSON is read as JSON, all else as Python."""
        try:
            text = encode_json(value, root="", max_bytes=max_bytes)
        except PayloadError:
            return self._adapter.validate_python(value, by_alias=True, by_name=True)
        return self._adapter.validate_json(text, by_alias=True, by_name=True)


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
