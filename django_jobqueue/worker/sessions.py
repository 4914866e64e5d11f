"""Sessions: what the threads of a worker set up in those that are theirs alone.

The connections of jobs stay as the project has set them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.dispatch import receiver

SetUp: TypeAlias = Callable[[BaseDatabaseWrapper], None]


class _Thread(threading.local):
    """What the calling thread wants. A context variable would go along with the coroutine jobs that it starts elsewhere."""

    wanted: tuple[SetUp, ...] = ()


_thread = _Thread()


@contextmanager
def sessions_with(*wanted: SetUp) -> Iterator[None]:
    """Do this to each connection that this thread makes within, or has made before."""
    before, _thread.wanted = _thread.wanted, wanted
    try:
        for connection in connections.all(initialized_only=True):
            if connection.connection is not None:
                _set_up(connection=connection)
        yield
    finally:
        _thread.wanted = before


@receiver(connection_created)
def _set_up(*, connection: BaseDatabaseWrapper, **_: Any) -> None:
    for set_up in _thread.wanted:
        set_up(connection)


def keeps_session(connection: BaseDatabaseWrapper) -> bool:
    """Whether it has a session of PostgreSQL to itself, from one transaction to the next, until it ends.

    A pool gives each transaction another one, or passes on to others what was set up in it.
    """
    settings = connection.settings_dict
    return (
        connection.vendor == "postgresql"
        and not settings.get("DISABLE_SERVER_SIDE_CURSORS")
        and not settings["OPTIONS"].get("pool")
    )
