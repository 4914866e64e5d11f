"""Kinds: the types that a payload can hold. Each knows the one form that its values have as JSON.

``to_json`` takes a value of the type, or its JSON form, and returns the JSON form. ``from_json`` takes that, and returns
the value. Both raise Refusal for anything else, so what one has made, the other reads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from django_jobqueue.payloads.json_text import MAX_DEPTH, OVERSIZE, too_deep
from django_jobqueue.payloads.refusals import Oversize, Refusal, unfit


class Unresolved(Exception):
    """An annotation names something that is not there."""


class Unsupported(Exception):
    """No payload can hold values of a type."""


class Walk:
    """Bounds the way through one payload: a value may contain itself, or one list ten times over at every level."""

    __slots__ = ("_depth", "_left", "max_bytes")

    def __init__(self, max_bytes: int) -> None:
        self._depth = 0
        self._left = max_bytes * OVERSIZE  # items; none takes less than a byte
        self.max_bytes = max_bytes

    def enter(self, items: int) -> None:
        """Go into a container of so many *items*. Raises Refusal."""
        self._left -= items
        if self._left < 0:
            raise Oversize(f"more than {self.max_bytes * OVERSIZE}", self.max_bytes)
        if self._depth == MAX_DEPTH:
            raise too_deep()
        self._depth += 1

    def leave(self) -> None:
        self._depth -= 1


class UnknownName(NamedTuple):
    """A name that stands nowhere in the values of a kind, and those that do in its place."""

    name: str
    known: Collection[str]


class Kind(ABC):
    """A type that a payload can hold."""

    wanted: str
    """What a value must be, as messages say it: "a datetime"."""

    forms: frozenset[type]
    """The types that its JSON form may have, of those that JSON comes back as."""

    plain: type | None = None
    """A type whose values are their own JSON form, so that nothing need be done for them."""

    @abstractmethod
    def to_json(self, value: Any, walk: Walk) -> Any:
        """The JSON form of *value*."""

    @abstractmethod
    def from_json(self, value: Any) -> Any:
        """The value of which *value* is the JSON form."""

    def unknown_name(self, path: Sequence[str]) -> UnknownName | None:
        """The first name of *path*, which goes through lists, that no JSON form has there; None, if some may have all."""
        return None


class Anything(Kind):
    """JSON as it is: what has no annotation."""

    wanted = "JSON"
    forms = frozenset({str, int, float, bool, type(None), list, dict})

    def to_json(self, value: Any, walk: Walk) -> Any:
        return value

    def from_json(self, value: Any) -> Any:
        return value


class Impossible(Kind):
    """A type that no payload can hold, of a parameter that can be left out."""

    wanted = "left out"
    forms = frozenset()

    def __init__(self, reason: str) -> None:
        self._refusal = f"must be left out: {reason}"

    def to_json(self, value: Any, walk: Walk) -> Any:
        raise Refusal(self._refusal)

    def from_json(self, value: Any) -> Any:
        raise Refusal(self._refusal)


class Choice(Kind):
    """A union: one of several kinds, which their JSON forms tell apart."""

    def __init__(self, kinds: Sequence[Kind]) -> None:
        self._kinds = kinds
        self._by_form = {form: kind for kind in kinds for form in kind.forms}
        if float in self._by_form:
            self._by_form.setdefault(int, self._by_form[float])
        self.wanted = " or ".join(kind.wanted for kind in kinds)
        self.forms = frozenset(self._by_form)

    @classmethod
    def is_clear(cls, kinds: Sequence[Kind]) -> bool:
        """Whether the JSON forms of *kinds* tell them apart."""
        return sum(len(kind.forms) for kind in kinds) == len(frozenset[type]().union(*(kind.forms for kind in kinds)))

    def to_json(self, value: Any, walk: Walk) -> Any:
        if (kind := self._by_form.get(type(value))) is not None:
            return kind.to_json(value, walk)
        refusals = []
        for kind in self._kinds:
            try:
                return kind.to_json(value, walk)
            except Refusal as refusal:
                refusals.append(refusal)
        raise self._closest(refusals, value)

    def from_json(self, value: Any) -> Any:
        if (kind := self._by_form.get(type(value))) is None:
            raise unfit(self.wanted, value)
        return kind.from_json(value)

    def unknown_name(self, path: Sequence[str]) -> UnknownName | None:
        found = [kind.unknown_name(path) for kind in self._kinds if kind.forms & {dict, list}]
        return found[0] if found and all(found) else None

    def _closest(self, refusals: Iterable[Refusal], value: Any) -> Refusal:
        """Of what its kinds say, that of the one which came farthest into *value*."""
        closest = max(refusals, key=lambda refusal: len(refusal.keys))
        return closest if closest.keys else unfit(self.wanted, value)
