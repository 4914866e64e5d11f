"""Kinds that hold others: lists, tuples and mappings, TypedDicts and dataclasses."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from django_jobqueue.payloads.kinds import Anything, Kind, UnknownName, Walk
from django_jobqueue.payloads.refusals import Refusal, unfit, wrong_names

Part = tuple[Any, Kind, Any]
"""An item of a container: its key, its kind, and itself."""


class Container(Kind):
    """A kind whose values hold others, each of a kind."""

    @abstractmethod
    def parts(self, value: Any) -> list[Part]:
        """What *value*, or its JSON form, holds. Raises Refusal."""

    @abstractmethod
    def pack(self, items: dict[Any, Any]) -> Any:
        """The value that holds *items*."""

    def pack_json(self, items: dict[Any, Any]) -> Any:
        """The JSON form of the value that holds *items*."""
        return items if dict in self.forms else list(items.values())

    def to_json(self, value: Any, walk: Walk) -> Any:
        parts = self.parts(value)
        walk.enter(len(parts))
        try:
            return self.pack_json(each(parts, lambda kind, item: kind.to_json(item, walk)))
        finally:
            walk.leave()

    def from_json(self, value: Any) -> Any:
        return self.pack(each(self.parts(value), lambda kind, item: kind.from_json(item)))


def each(parts: Iterable[Part], convert: Callable[[Kind, Any], Any]) -> dict[Any, Any]:
    """What *convert* makes of the items, by their keys. A refusal gets the key of its item."""
    converted = {}
    for key, kind, item in parts:
        try:
            converted[key] = convert(kind, item)
        except Refusal as refusal:
            refusal.keys.append(key)
            raise
    return converted


class Uniform(Container):
    """A container of any number of items, all of one kind. One of plain items is copied as it is, and so in no time."""

    def __init__(self, of: Kind, form: Callable[[Any], Any], type_: Callable[[Any], Any]) -> None:
        self._of = of
        self._form = form
        self._type = type_
        self._takes_anything = isinstance(of, Anything)
        self._plain = {of.plain}

    @abstractmethod
    def values(self, value: Any) -> Collection[Any]:
        """The items of *value*, without their keys. Raises Refusal."""

    def to_json(self, value: Any, walk: Walk) -> Any:
        return self._form(value) if self._is_plain(value) else super().to_json(value, walk)

    def from_json(self, value: Any) -> Any:
        return self._type(value) if self._is_plain(value) else super().from_json(value)

    def _is_plain(self, value: Any) -> bool:
        values = self.values(value)
        return self._takes_anything or set(map(type, values)) <= self._plain


class ListOf(Uniform):
    """Items one after the other: a list, or a tuple that is declared with ``...``."""

    wanted = "a list"
    forms = frozenset({list})

    def __init__(self, of: Kind, type_: type[list[Any]] | type[tuple[Any, ...]] = list) -> None:
        super().__init__(of, list, type_)

    def values(self, value: Any) -> Collection[Any]:
        return _listed(value, self.wanted)

    def parts(self, value: Any) -> list[Part]:
        return [(index, self._of, item) for index, item in enumerate(value)]

    def unknown_name(self, path: Sequence[str]) -> UnknownName | None:
        return self._of.unknown_name(path)

    def pack(self, items: dict[int, Any]) -> Any:
        return self._type(items.values())


class MappingOf(Uniform):
    """A mapping of any text to items."""

    wanted = "a mapping"
    forms = frozenset({dict})

    def __init__(self, of: Kind) -> None:
        super().__init__(of, dict, dict)

    def values(self, value: Any) -> Collection[Any]:
        if not isinstance(value, Mapping):
            raise unfit(self.wanted, value)
        return value.values()

    def parts(self, value: Any) -> list[Part]:
        return [(key, self._of, item) for key, item in value.items()]

    def unknown_name(self, path: Sequence[str]) -> UnknownName | None:
        return self._of.unknown_name(path[1:])

    def pack(self, items: dict[str, Any]) -> dict[str, Any]:
        return items


class TupleOf(Container):
    """So many items, each of its own kind."""

    forms = frozenset({list})

    def __init__(self, kinds: Sequence[Kind]) -> None:
        self._kinds = kinds
        self.wanted = f"a list of {len(kinds)}"

    def parts(self, value: Any) -> list[Part]:
        items = _listed(value, self.wanted)
        if len(items) != len(self._kinds):
            raise Refusal(f"must be {self.wanted}", f", got {len(items)}.")
        return list(zip(range(len(items)), self._kinds, items, strict=True))

    def pack(self, items: dict[int, Any]) -> tuple[Any, ...]:
        return tuple(items.values())


class Record(Container):
    """A TypedDict: a mapping of known keys, each with its kind."""

    forms = frozenset({dict})

    def __init__(self, type_: type) -> None:
        self._type = type_
        self.wanted = type_.__name__
        self.required: Sequence[str] = ()
        self.kinds: Mapping[str, Kind] = {}
        """Filled in when the record is known, because the kind of a field may be the record itself."""

    def parts(self, value: Any) -> list[Part]:
        if not isinstance(value, Mapping):
            raise unfit(self.wanted, value)
        if wrong := list(wrong_names(value, self.required, self.kinds, "field")):
            raise Refusal(f"does not fit {self.wanted}. {' '.join(wrong)}")
        return [(key, self.kinds[key], item) for key, item in value.items()]

    def pack(self, items: dict[str, Any]) -> Any:
        return items

    def unknown_name(self, path: Sequence[str]) -> UnknownName | None:
        return unknown_name(path, self.kinds)


def unknown_name(path: Sequence[str], kinds: Mapping[str, Kind]) -> UnknownName | None:
    """``Kind.unknown_name`` of what holds values of these *kinds* by name."""
    if not path:
        return None
    name, *rest = path
    return kinds[name].unknown_name(rest) if name in kinds else UnknownName(name, kinds)


class Dataclass(Record):
    """A dataclass: its JSON form is the mapping of what its constructor takes."""

    def parts(self, value: Any) -> list[Part]:
        return super().parts(self._fields(value) if is_dataclass(value) else value)

    def pack(self, items: dict[str, Any]) -> Any:
        try:
            return self._type(**items)
        except (AssertionError, TypeError, ValueError) as error:
            raise Refusal(f"{self.wanted} refuses it", f": {error}") from None

    def to_json(self, value: Any, walk: Walk) -> Any:
        form = super().to_json(value, walk)
        self.from_json(form)  # it may have rules of its own
        return form

    def _fields(self, value: Any) -> dict[str, Any]:
        if type(value) is not self._type:  # what a subclass adds would be lost
            raise unfit(self.wanted, value)
        return {field.name: getattr(value, field.name) for field in fields(self._type) if field.init}


def _listed(value: Any, wanted: str) -> Sequence[Any]:
    if not isinstance(value, (list, tuple)):
        raise unfit(wanted, value)
    return value
