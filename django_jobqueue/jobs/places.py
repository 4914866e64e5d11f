"""Where functions are, for messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def place_of(function: Callable[..., Any]) -> str:
    """The dotted path of *function*, for messages."""
    module = getattr(function, "__module__", "?")
    return f"{module}.{getattr(function, '__qualname__', repr(function))}"
