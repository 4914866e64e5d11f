"""Somebody who looks at the tables as they are, and goes on looking."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


@contextmanager
def held_snapshot() -> Iterator[None]:
    """Until the block ends, PostgreSQL keeps all that is to be seen now."""
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT count(*) FROM jobqueue_queue_state")
        yield
    other.close()
