"""Sessions: what the threads of a worker set up in those that are theirs alone.

The connections of jobs stay as the project has set them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.dispatch import receiver

SetUp: TypeAlias = Callable[[BaseDatabaseWrapper], None]

_wanted: ContextVar[tuple[SetUp, ...]] = ContextVar("django_jobqueue_sessions", default=())


@contextmanager
def sessions_with(*wanted: SetUp) -> Iterator[None]:
    """Do this to each connection that this thread makes within, or has made before."""
    token = _wanted.set(wanted)
    try:
        for connection in connections.all(initialized_only=True):
            if connection.connection is not None:
                _set_up(connection=connection)
        yield
    finally:
        _wanted.reset(token)


@receiver(connection_created)
def _set_up(*, connection: BaseDatabaseWrapper, **_: Any) -> None:
    for set_up in _wanted.get():
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
