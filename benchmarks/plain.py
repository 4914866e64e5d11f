"""The database of a benchmark without Django: one connection of a plain driver, with prepared statements."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import psycopg
from django.db import connection

Execute: TypeAlias = Callable[..., Any]
"""Runs one statement, and commits it unless a transaction was begun."""


@contextmanager
def plain_connection() -> Iterator[Execute]:
    """Connect as the project does, and answer with what runs statements."""
    settings = connection.settings_dict
    if connection.vendor == "sqlite":
        lite = sqlite3.connect(settings["NAME"], isolation_level=None, timeout=20)
        lite.execute("PRAGMA synchronous = NORMAL")
        yield lite.execute
        lite.close()
    else:
        with psycopg.connect(conninfo(), autocommit=True, prepare_threshold=0) as server:
            yield server.execute


def conninfo() -> str:
    """Say to libpq how to connect."""
    settings = connection.settings_dict
    return f"host={settings['HOST']} port={settings['PORT']} user={settings['USER']} dbname={settings['NAME']}"
