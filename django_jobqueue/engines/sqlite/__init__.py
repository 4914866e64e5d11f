"""SQLite, from version 3.35.

Writers take turns, so a single statement is exact by itself, limits included. A transaction that reads before it writes
fails as soon as another writer was faster, whatever the timeout; hence every transaction here begins with a write. The
clock is the host's.
"""

from __future__ import annotations

from django_jobqueue.engines.sqlite.engine import SQLiteEngine

__all__ = ["SQLiteEngine"]
