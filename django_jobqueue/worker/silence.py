"""Silence: how long the threads of a worker wait for a PostgreSQL server that cannot be reached any more, and does not say so.

A network that swallows everything ends no connection; the system notices after a quarter of an hour, or after two hours
where nothing was on its way. Where the project has said how long to wait, that holds.
"""

from __future__ import annotations

import os
import socket

from django.db.backends.base.base import BaseDatabaseWrapper

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


def short_silences(connection: BaseDatabaseWrapper) -> None:
    """Let it break when the server has not answered for so long."""
    if connection.vendor != "postgresql" or OF_PROJECT & connection.settings_dict["OPTIONS"].keys():
        return
    with socket.socket(fileno=os.dup(connection.connection.fileno())) as end:
        if end.family != socket.AF_UNIX:
            for name, value in SOCKET_OPTIONS.items():
                if (option := getattr(socket, name, None)) is not None:
                    end.setsockopt(socket.IPPROTO_TCP, option, value)
