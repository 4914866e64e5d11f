"""Prepared statements, for the few that the main thread of a worker says again and again.

Django writes the values into each statement, which PostgreSQL then plans anew: for a small batch that takes longer than
the work. The connections of jobs stay as the project has set them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.dispatch import receiver

PREPARED_AFTER = 3
"""How often a statement is said before it is prepared."""

_wanted: ContextVar[bool] = ContextVar("django_jobqueue_prepared_statements", default=False)


@contextmanager
def prepared_statements() -> Iterator[None]:
    """Let connections prepare their statements that this thread makes within, or has made before."""
    token = _wanted.set(True)
    try:
        for connection in connections.all(initialized_only=True):
            if connection.connection is not None:
                _prepare(connection=connection)
        yield
    finally:
        _wanted.reset(token)


@receiver(connection_created)
def _prepare(*, connection: BaseDatabaseWrapper, **_: Any) -> None:
    if not _wanted.get() or connection.vendor != "postgresql":
        return
    if connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"):  # a pool gives each transaction another session
        return
    from django.db.backends.postgresql.base import ServerBindingCursor  # psycopg need not be installed

    connection.connection.cursor_factory = ServerBindingCursor
    if connection.connection.prepare_threshold is None:
        connection.connection.prepare_threshold = PREPARED_AFTER
