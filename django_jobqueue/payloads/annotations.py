"""From annotations to kinds. An annotation is evaluated when its job is first asked for, not when it is declared."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import (
    Callable,
    Collection,
    Hashable,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
    MutableSequence,
    Sequence,
)
from contextlib import contextmanager
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum, Flag
from types import ModuleType, SimpleNamespace, UnionType
from typing import Annotated, Any, Literal, NewType, NotRequired, Required, Union, get_args, get_origin, get_type_hints

from django_jobqueue.payloads.containers import Dataclass, ListOf, MappingOf, Record, TupleOf
from django_jobqueue.payloads.kinds import Anything, Choice, Kind, Unresolved, Unsupported
from django_jobqueue.payloads.parameters import signature
from django_jobqueue.payloads.scalars import SCALARS, OneOf

LISTS = (list, MutableSequence, Sequence, Collection, Iterable)
MAPPINGS = (dict, MutableMapping, Mapping)
QUALIFIERS = {Required, NotRequired, getattr(typing, "ReadOnly", Required)}
"""What may stand around the type of a key of a TypedDict."""

ALIASES: Any = getattr(typing, "TypeAliasType", ())

NATIVES = (str, int, float, bool, type(None))


def kind_of(annotation: Any, function: Callable[..., Any]) -> Kind:
    """The kind of what *annotation*, at a parameter of *function*, asks for. Raises Unresolved or Unsupported."""
    return kind_of_type(type_of(annotation, function))


def kind_of_type(type_: Any) -> Kind:
    """The kind of *type_*: a class, or anything else that an annotation may be. Raises Unresolved or Unsupported."""
    return _Reading().kind(type_)


def type_of(annotation: Any, function: Callable[..., Any]) -> Any:
    """What *annotation*, at a parameter of *function*, names. Raises Unresolved."""
    home = _home(function)
    holder = SimpleNamespace(__annotations__={"it": annotation})
    scope = {parameter.__name__: parameter for parameter in getattr(home, "__type_params__", ())}
    with resolving():
        return get_type_hints(holder, getattr(home, "__globals__", {}), scope, include_extras=True)["it"]


@contextmanager
def resolving() -> Iterator[None]:
    """Raise Unresolved for whatever the evaluation of an annotation raises: it may be any code."""
    try:
        yield
    except Exception as error:
        raise Unresolved(f"{type(error).__name__}: {error}") from error


def _home(function: Any) -> Any:
    """The function in whose module the annotations of *function* were written."""
    if isinstance(function, functools.partial):
        return _home(function.func)
    function = inspect.unwrap(function)
    return function if inspect.isroutine(function) else type(function).__call__


class _Reading:
    """The reading of one annotation. A type that contains itself is read once."""

    def __init__(self) -> None:
        self._records: dict[type, Record] = {}
        self._aliases: set[Any] = set()
        self._readers: dict[Any, Callable[..., Kind | None]] = {
            **dict.fromkeys(LISTS, self._list),
            **dict.fromkeys(MAPPINGS, self._mapping),
            tuple: self._tuple,
            Union: self._union,
            UnionType: self._union,
            Literal: self._literal,
            Annotated: self._annotated,
        }

    def kind(self, annotation: Any) -> Kind:
        return self._known(annotation) or _beyond(annotation)

    def _known(self, annotation: Any) -> Kind | None:
        """The kind of *annotation*, or None if only pydantic may know it."""
        if not isinstance(annotation, Hashable):
            return None
        if reader := self._readers.get(get_origin(annotation) or annotation):
            return reader(*get_args(annotation))
        if annotation in SCALARS:
            return SCALARS[annotation]
        if isinstance(annotation, NewType):
            return self.kind(annotation.__supertype__)
        if isinstance(annotation, ALIASES):
            return self._alias(annotation)
        return self._class(annotation) if isinstance(annotation, type) else None

    def _list(self, of: Any = Any) -> Kind:
        return ListOf(self.kind(of))

    def _mapping(self, key: Any = str, of: Any = Any) -> Kind | None:
        return MappingOf(self.kind(of)) if key is str else None

    def _tuple(self, *of: Any) -> Kind:
        if not of or of[-1] is Ellipsis:
            return ListOf(self.kind(of[0] if of else Any), tuple)
        return TupleOf([self.kind(each) for each in of])

    def _union(self, *of: Any) -> Kind | None:
        kinds = [self.kind(each) for each in of]
        if anything := [kind for kind in kinds if isinstance(kind, Anything)]:
            return anything[0]
        return Choice(kinds) if Choice.is_clear(kinds) else None

    def _literal(self, *values: Any) -> Kind | None:
        return _one_of([(value, value.value if isinstance(value, Enum) else value) for value in values])

    def _annotated(self, of: Any, *_: Any) -> Kind | None:
        """What stands beside the type is for pydantic; without it, a remark."""
        return None if _pydantic() else self.kind(of)

    def _alias(self, alias: Any) -> Kind | None:
        """What ``type name = ...`` has named; pydantic knows how to go on where that contains itself."""
        if alias in self._aliases:
            return None
        self._aliases.add(alias)
        with resolving():
            meant = alias.__value__
        return self.kind(meant)

    def _class(self, type_: type) -> Kind | None:
        if issubclass(type_, Enum) and not issubclass(type_, Flag):
            return _one_of([(member, member.value) for member in type_])
        if _is_typed_dict(type_) or (is_dataclass(type_) and not hasattr(type_, "__pydantic_validator__")):
            return self._records.get(type_) or self._record(type_)
        return None

    def _record(self, type_: type) -> Kind | None:
        with resolving():
            hints = get_type_hints(type_, include_extras=True)
        typed_dict = _is_typed_dict(type_)
        declared = dict(_keys(type_, hints)) if typed_dict else dict(_fields(type_, hints))
        if not typed_dict and declared.keys() != signature(type_).parameters.keys():
            return None  # its constructor takes something else than its fields
        record = self._records[type_] = Record(type_) if typed_dict else Dataclass(type_)
        record.required = tuple(name for name, (_, required) in declared.items() if required)
        record.kinds = {name: self.kind(hint) for name, (hint, _) in declared.items()}
        return record


def _is_typed_dict(type_: type) -> bool:
    return issubclass(type_, dict) and hasattr(type_, "__required_keys__")  # that of typing_extensions too


def _keys(type_: Any, hints: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Any, bool]]]:
    """The keys of a TypedDict: the type of each, and whether it is required."""
    for key, hint in hints.items():
        required = key in type_.__required_keys__  # but where annotations are text, it knows of no qualifier
        while (qualifier := get_origin(hint)) in QUALIFIERS:
            required = {Required: True, NotRequired: False}.get(qualifier, required)
            (hint,) = get_args(hint)
        yield key, (hint, required)


def _fields(type_: Any, hints: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Any, bool]]]:
    """The fields of a dataclass that its constructor takes: the type of each, and whether it is required."""
    for field in fields(type_):
        if field.init:
            yield field.name, (hints[field.name], field.default is MISSING and field.default_factory is MISSING)


def _one_of(pairs: Sequence[tuple[Any, Any]]) -> Kind | None:
    return OneOf(pairs) if all(type(form) in NATIVES for _, form in pairs) else None


def _beyond(annotation: Any) -> Kind:
    """The kind of what only pydantic knows. Raises Unsupported."""
    name = inspect.formatannotation(annotation)
    if (pydantic_kind := _pydantic()) is None:
        raise Unsupported(f"no payload can hold {name} without pydantic. Install django-jobqueue[pydantic].")
    kind: Kind = pydantic_kind.PydanticKind(annotation, name)
    return kind


def _pydantic() -> ModuleType | None:
    """What speaks to pydantic, which is imported when an annotation needs it, if it is installed."""
    try:
        from django_jobqueue.payloads import pydantic_kind
    except ImportError:
        return None
    return pydantic_kind
