"""Types as source text: what is known of an annotation at run time, written for a module that never runs."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from enum import Enum
from functools import reduce
from importlib import import_module
from types import EllipsisType, NoneType, UnionType
from typing import Annotated, Any, Literal, NewType, Union, get_args, get_origin

UNIONS = (Union, UnionType)
NAMED = (type, NewType, getattr(typing, "TypeAliasType", NewType))
"""What has a name in a module; ``type X = ...`` from Python 3.12 on."""


class TypeWriter:
    """Writes types, and remembers the modules that they come from. What cannot be named elsewhere becomes Any."""

    def __init__(self) -> None:
        self.modules: set[str] = set()

    def source(self, type_: Any) -> str:
        """The source of a type."""
        if type_ is Any:
            return "Any"
        origin, arguments = get_origin(type_), get_args(type_)
        if origin in UNIONS:
            return " | ".join(dict.fromkeys(map(self.source, arguments)))
        if origin is Literal:
            return self._literal(arguments)
        if origin is Annotated:
            return self.source(arguments[0])
        if origin is not None:
            return self._generic(origin, arguments)
        if type_ is None or type_ is NoneType:
            return "None"
        return self._named(type_) if isinstance(type_, NAMED) else "Any"

    def _generic(self, origin: Any, arguments: tuple[Any, ...]) -> str:
        name = self._named(origin)
        if name == "Any" or not arguments or any(isinstance(argument, list) for argument in arguments):
            return name
        written = ("..." if isinstance(argument, EllipsisType) else self.source(argument) for argument in arguments)
        return f"{name}[{', '.join(written)}]"

    def _literal(self, values: tuple[Any, ...]) -> str:
        enums = {type(value): self._named(type(value)) for value in values if isinstance(value, Enum)}
        if "Any" in enums.values():
            return "Any"
        written = (f"{enums[type(v)]}.{v.name}" if isinstance(v, Enum) else ascii(v) for v in values)
        return f"Literal[{', '.join(written)}]"

    def _named(self, type_: Any) -> str:
        """The name under which another module finds *type_*."""
        path: str = getattr(type_, "__qualname__", type_.__name__)
        for module in _modules(type_):
            if not _is_found(type_, module, path):
                continue
            if module == "builtins":
                return path
            self.modules.add(module)
            return f"{module}.{path}"
        return "Any"


def _modules(type_: Any) -> Iterator[str]:
    """Where to look for *type_*: not in a private module, such as ``pathlib._local``, if its package has it too."""
    module = type_.__module__
    public, private, _ = module.partition("._")
    if private:
        yield public
    yield module


def _is_found(type_: Any, module: str, path: str) -> bool:
    if module == "__main__":
        return False
    try:
        return reduce(getattr, path.split("."), import_module(module)) is type_
    except (ImportError, AttributeError):
        return False
