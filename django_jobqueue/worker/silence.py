"""Silence: how long the threads of a worker wait for a PostgreSQL server that cannot be reached any more, and does not say so.

A network that swallows everything ends no connection; the system notices after a quarter of an hour, or after two hours
where nothing was on its way. The connections of jobs stay as the project has set them, and so do these where it has said
how long they wait.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.dispatch import receiver

LONGEST_SECONDS = 15
"""After such a silence of the other side a connection is broken; a server that takes its time is not silent."""
IDLE_SECONDS, PROBE_SECONDS = 5, 5
"""After so long the other side is asked whether it is there, and then again and again."""

SOCKET_OPTIONS = {
    "TCP_USER_TIMEOUT": LONGEST_SECONDS * 1000,
    "TCP_KEEPIDLE": IDLE_SECONDS,
    "TCP_KEEPINTVL": PROBE_SECONDS,
    "TCP_KEEPCNT": (LONGEST_SECONDS - IDLE_SECONDS) // PROBE_SECONDS,
}
"""As Linux calls them; a system sets those that it has."""
OF_PROJECT = {"tcp_user_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"}

_wanted: ContextVar[bool] = ContextVar("django_jobqueue_short_silences", default=False)


@contextmanager
def short_silences() -> Iterator[None]:
    """Let no connection wait longer that this thread makes within, or has made before."""
    token = _wanted.set(True)
    try:
        for connection in connections.all(initialized_only=True):
            if connection.connection is not None:
                _shorten(connection=connection)
        yield
    finally:
        _wanted.reset(token)


@receiver(connection_created)
def _shorten(*, connection: BaseDatabaseWrapper, **_: Any) -> None:
    if (
        not _wanted.get()
        or connection.vendor != "postgresql"
        or OF_PROJECT & connection.settings_dict["OPTIONS"].keys()
    ):
        return
    with socket.socket(fileno=os.dup(connection.connection.fileno())) as end:
        if end.family != socket.AF_UNIX:
            for name, value in SOCKET_OPTIONS.items():
                if (option := getattr(socket, name, None)) is not None:
                    end.setsockopt(socket.IPPROTO_TCP, option, value)
