"""Databases: which one the environment variable DATABASE names."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit


def database(address: str) -> dict[str, Any]:
    """Return the settings of the database at *address*: a ``postgresql://`` URL, or the path of an SQLite file."""
    if address.startswith("postgresql://"):
        url = urlsplit(address)
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": unquote(url.path.removeprefix("/")),
            "USER": unquote(url.username or ""),
            "PASSWORD": unquote(url.password or ""),
            "HOST": url.hostname or "",
            "PORT": str(url.port or ""),
        }
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": address,
        # With these three, the site and the workers share one file well: readers do not wait, and writers take turns.
        "OPTIONS": {
            "init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL",
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
        },
    }
