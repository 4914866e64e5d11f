"""Django's connections in the threads of a worker: no attempt inherits a broken one, nor leaves one behind."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import Error, InterfaceError, InternalError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.dispatch import receiver

from django_jobqueue.worker import statement_timeout

logger = logging.getLogger(__name__)

DATABASE_AWAY = (OperationalError, InterfaceError, InternalError)
"""What Django raises when the database cannot be reached, or is too busy: it may answer again.

An InternalError is how PostgreSQL says that it is read-only: a failover has left this connection with the old primary.
"""


class _Thread(threading.local):
    """What is known of the calling thread."""

    def __init__(self) -> None:
        self.has_connected = any(connections.all(initialized_only=True))
        """Or may have, before this module was there."""


_thread = _Thread()


@receiver(connection_created)
def _note(**_: Any) -> None:
    _thread.has_connected = True


def tidy() -> None:
    """After an attempt, and after a time without any: drop what broke or is too old, and what was left in a transaction.

    The next query on what is kept finds out whether the server still answers. A thread that has never made a connection
    has nothing to tidy up.
    """
    if not _thread.has_connected:
        return
    for connection in connections.all(initialized_only=True):
        _tidy(connection)
        connection.queries_log.clear()
        connection.health_check_enabled = True  # type: ignore[attr-defined]  # the stubs lack it


def limit(timeout_seconds: float | None) -> None:
    """Let no statement of the attempt that begins outlast its timeout."""
    if timeout_seconds is not None:
        with _dropping_all():
            statement_timeout.limit(timeout_seconds)


def lift() -> None:
    """Undo ``limit``."""
    if statement_timeout.is_limited():
        with _dropping_all():
            statement_timeout.lift()


def close_all() -> None:
    """Close the connections of this thread, which is about to end."""
    for connection in connections.all(initialized_only=True):
        _discard(connection)


@contextmanager
def _dropping_all() -> Iterator[None]:
    """Drop the connections of this thread, where one of them cannot even do that."""
    try:
        yield
    except Error:
        close_all()


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
