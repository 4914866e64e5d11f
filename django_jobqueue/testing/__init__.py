"""For tests: run jobs without a worker, on the connection of the test, and look at what was added.

Nothing here is imported before it is asked for, because pytest imports its plugins before Django is ready.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_jobqueue.testing.added import aassert_added, aassert_not_added, assert_added, assert_not_added, recorded
    from django_jobqueue.testing.draining import adrain, drain
    from django_jobqueue.testing.inlining import inline
    from django_jobqueue.testing.worked import Worked

__all__ = [
    "Worked",
    "aassert_added",
    "aassert_not_added",
    "adrain",
    "assert_added",
    "assert_not_added",
    "drain",
    "inline",
    "recorded",
]

_HOMES = {
    "added": ["aassert_added", "aassert_not_added", "assert_added", "assert_not_added", "recorded"],
    "draining": ["adrain", "drain"],
    "inlining": ["inline"],
    "worked": ["Worked"],
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
