"""PostgreSQL: a statement that a process says again and again, and that the server then plans only once.

Django writes the values into each statement, which makes it another one each time. Prepared statements belong to a session,
and so they are only for those who talk to the server itself: a pooler may give each transaction another session.
"""

from __future__ import annotations

from datetime import tzinfo
from typing import Any
from weakref import WeakKeyDictionary

from django.db import DatabaseError

from django_jobqueue.engines.postgresql.database import PostgreSQLDatabase, state_of

PREPARED_AFTER = 5
"""How often a statement is said on a connection before it is prepared."""
FORGOTTEN = ("26000", "0A000")
"""What PostgreSQL calls a prepared statement that it has not got any more, and one whose rows would look different now."""
OPTIONS = {"prepare_threshold", "server_side_binding", "cursor_factory"}
"""The options of a database by which a project says itself how its statements are sent."""


class PostgreSQLPreparing(PostgreSQLDatabase):
    """Prepares where that is safe, and leaves all other statements of the project as they are."""

    def __init__(self, alias: str) -> None:
        super().__init__(alias)
        self._is_direct: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()
        """Of psycopg's connections that were used: whether statements may be prepared there."""
        self._kept: WeakKeyDictionary[Any, tuple[Any, tzinfo | None]] = WeakKeyDictionary()
        """Of Django's connections: the cursor that prepares, while nobody uses it, and the time zone for which it was made."""

    def fetch_often(self, sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        """``fetch`` a single row, whose last column is ``pg_backend_pid()``.

        The statement is prepared only where it is a transaction by itself: if it turns out that the server has forgotten it,
        nothing is lost, and it is said as usual.
        """
        connection: Any = self.connection  # the stubs know nothing of what a vendor adds
        server = connection.connection
        if self._may_prepare(connection, server):
            try:
                return self._noted(connection, self._fetch_prepared(connection, sql, parameters))
            except DatabaseError as error:
                if state_of(error) not in FORGOTTEN:
                    raise
                self._is_direct[server] = False
        return self._noted(connection, self.fetch(sql, parameters))

    def _may_prepare(self, connection: Any, server: Any) -> bool:
        if server is None or not self._is_direct.get(server):
            return False
        if connection.queries_logged:  # Django would log a prepared statement without its text
            return False
        if not server.autocommit:  # the statement would begin a transaction: atomic() itself does not tell the server
            return False
        return bool(server.pgconn.transaction_status == connection.Database.pq.TransactionStatus.IDLE)

    def _fetch_prepared(self, connection: Any, sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        cursor = connection.cursor()
        server = cursor.connection
        cursor.cursor = self._preparing_cursor(connection)
        before, server.prepare_threshold = server.prepare_threshold, PREPARED_AFTER
        try:
            cursor.execute(sql, parameters)
        finally:
            server.prepare_threshold = before
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        self._kept[connection] = cursor.cursor, connection.timezone
        return rows

    def _preparing_cursor(self, connection: Any) -> Any:
        """The cursor that is kept: it still knows how to write what the statement takes, and how to read its rows."""
        server = connection.connection
        kept, zone = self._kept.pop(connection, (None, None))
        if kept is not None and kept.connection is server and zone is connection.timezone:
            return kept
        from django.db.backends.postgresql.base import ServerBindingCursor  # psycopg need not be installed

        before, server.cursor_factory = server.cursor_factory, ServerBindingCursor
        try:
            return self._cursor().cursor
        finally:
            server.cursor_factory = before

    def _noted(self, connection: Any, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """The same *rows*; it is remembered whether they come from the process that we are connected to.

        A pooler tells those who connect of a process of its own invention, as it cannot know who will answer.
        """
        server = connection.connection
        if server not in self._is_direct:
            self._is_direct[server] = self._is_left_to_us(server)
        if server.pgconn.backend_pid != rows[0][-1]:
            self._is_direct[server] = False
        return rows

    def _is_left_to_us(self, server: Any) -> bool:
        """Whether the project says nothing itself of how its statements are sent."""
        from django.db.backends.postgresql.base import Cursor  # psycopg need not be installed

        settings = self.connection.settings_dict
        return (
            OPTIONS.isdisjoint(settings["OPTIONS"])
            and server.cursor_factory is Cursor
            and not settings.get("DISABLE_SERVER_SIDE_CURSORS")
        )
