"""Prepared statements, for the few that the main thread of a worker says again and again.

Django writes the values into each statement, which PostgreSQL then plans anew: for a small batch that takes longer than
the work.
"""

from __future__ import annotations

from django.db.backends.base.base import BaseDatabaseWrapper

from django_jobqueue.worker.sessions import keeps_session

PREPARED_AFTER = 3
"""How often a statement is said before it is prepared."""


def prepared_statements(connection: BaseDatabaseWrapper) -> None:
    """Let it prepare its statements."""
    if not keeps_session(connection):
        return
    from django.db.backends.postgresql.base import ServerBindingCursor  # psycopg need not be installed

    connection.connection.cursor_factory = ServerBindingCursor
    if connection.connection.prepare_threshold is None:
        connection.connection.prepare_threshold = PREPARED_AFTER
