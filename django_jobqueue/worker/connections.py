"""Django's connections in the threads of a worker: no attempt inherits a broken one, nor leaves one behind."""

from __future__ import annotations

import logging

from django.db import InterfaceError, OperationalError, connections, reset_queries
from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger(__name__)

DATABASE_AWAY = (OperationalError, InterfaceError)
"""What Django raises when the database cannot be reached, or is too busy: it may answer again."""


def before_attempt() -> None:
    """Drop what is too old, and let the first query of the attempt find out whether the server still answers."""
    reset_queries()
    for connection in connections.all(initialized_only=True):
        _tidy(connection)
        connection.health_check_enabled = True  # type: ignore[attr-defined]  # the stubs lack it


def after_attempt() -> None:
    """Drop what broke or is too old, and undo a transaction that the job has left open."""
    for connection in connections.all(initialized_only=True):
        _tidy(connection)


def close_all() -> None:
    """Close the connections of this thread, which is about to end."""
    for connection in connections.all(initialized_only=True):
        _discard(connection)


def _tidy(connection: BaseDatabaseWrapper) -> None:
    try:
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
            return
    except Exception:
        logger.warning("Connection %r could not be checked, and is dropped.", connection.alias, exc_info=True)
    _discard(connection)


def _discard(connection: BaseDatabaseWrapper) -> None:
    """Close *connection* and forget it: the next one begins outside of any transaction."""
    try:
        connection.close()
    except Exception:
        logger.warning("Connection %r could not be closed.", connection.alias, exc_info=True)
    del connections[connection.alias]
