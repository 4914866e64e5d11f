"""Operations, declared: which there are, who may call them, and what they tell of."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from enum import StrEnum
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar

from asgiref.sync import sync_to_async

from django_jobqueue.signals import Event

P = ParamSpec("P")
R = TypeVar("R")


class Auth(StrEnum):
    """Whom a face that knows its users lets call an operation."""

    USER = "user"
    """Everybody who is signed in."""
    ADMIN = "admin"
    """Who runs the site."""


class Operation(Generic[P, R]):
    """A function, and what faces need to know of it."""

    def __init__(
        self, function: Callable[P, R], *, key: str, auth: Auth, emits: Sequence[type[Event]], version: int
    ) -> None:
        self.function = function
        self.key = key
        """What it is called by other programs, and in activities."""
        self.auth = auth
        self.emits = tuple(emits)
        """The events that may come of it."""
        self.version = version
        """Rises when an argument or the answer changes its meaning, or goes."""
        update_wrapper(self, function)

    def __repr__(self) -> str:
        return f"<Operation {self.key}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def twin(self) -> Callable[P, Coroutine[Any, Any, R]]:
        """The same for async code."""

        async def call(*args: P.args, **kwargs: P.kwargs) -> R:
            return await sync_to_async(self.function)(*args, **kwargs)

        update_wrapper(call, self.function)
        call.__name__ = call.__qualname__ = f"a{self.function.__name__}"
        return call


OPERATIONS: dict[str, Operation[..., Any]] = {}
"""All operations by their keys."""


def operation(
    key: str, *, auth: Auth, emits: Sequence[type[Event]] = (), version: int = 1
) -> Callable[[Callable[P, R]], Operation[P, R]]:
    """Declare a function to be an operation."""

    def declare(function: Callable[P, R]) -> Operation[P, R]:
        declared = Operation(function, key=key, auth=auth, emits=emits, version=version)
        if OPERATIONS.setdefault(key, declared) is not declared:
            raise ValueError(f"There are two operations {key!r}.")
        return declared

    return declare
