"""PostgreSQL: a statement that a process says again and again, and that the server then plans only once.

Django writes the values into each statement, which makes it another one each time. Prepared statements belong to a session,
and so they are only for those who talk to the server itself: a pooler may give each transaction another session.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo
from typing import Any
from weakref import WeakKeyDictionary

from django.db import DatabaseError

from django_jobqueue.engines.postgresql.database import PostgreSQLDatabase, binding_cursor, state_of

PREPARED_AFTER = 5
"""How often a statement is said on a connection before it is prepared."""
FORGOTTEN = ("26000", "0A000")
"""What PostgreSQL calls a prepared statement that it has not got any more, and one whose rows would look different now."""
IDLE = 0
"""What libpq calls the state of a connection that is in no transaction; psycopg need not be installed to know it."""
OPTIONS = {"prepare_threshold", "server_side_binding", "cursor_factory"}
"""The options of a database by which a project says itself how its statements are sent."""


@dataclass(slots=True)
class Session:
    """One connection of psycopg, for as long as Django has it."""

    server: Any
    is_direct: bool
    """Whether statements may be prepared there."""
    cursor: Any = None
    """The one that prepares, while nobody uses it."""
    zone: tzinfo | None = None
    """The time zone for which that was made."""

    @property
    def is_idle(self) -> bool:
        """Whether a statement would be a transaction by itself: atomic() alone does not tell the server of one."""
        return bool(self.server.autocommit and self.server.pgconn.transaction_status == IDLE)

    def check(self, row: tuple[Any, ...]) -> None:
        """Prepare nothing more, unless the answer comes from the process that we are connected to.

        A pooler tells those who connect of a process of its own invention, as it cannot know who will answer.
        """
        if self.server.pgconn.backend_pid != row[-1]:
            self.is_direct = False


class PostgreSQLPreparing(PostgreSQLDatabase):
    """Prepares where that is safe, and leaves all other statements of the project as they are."""

    def __init__(self, alias: str) -> None:
        super().__init__(alias)
        self._sessions: WeakKeyDictionary[Any, Session] = WeakKeyDictionary()
        """Those that were used, by Django's connections."""

    def fetch_often(self, sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        """``fetch`` a single row, whose last column is ``pg_backend_pid()``.

        The statement is prepared only where it is a transaction by itself: if it turns out that the server has forgotten it,
        nothing is lost, and it is said as usual.
        """
        connection: Any = self.connection  # the stubs know nothing of what a vendor adds
        if self._may_prepare(connection):
            try:
                return self._fetch_prepared(connection, sql, parameters)
            except DatabaseError as error:
                if state_of(error) not in FORGOTTEN:
                    raise
                self._session(connection).is_direct = False
        rows = self.fetch(sql, parameters)
        self._session(connection).check(rows[0])
        return rows

    def _may_prepare(self, connection: Any) -> bool:
        session = self._sessions.get(connection)
        if session is None or session.server is not connection.connection or not session.is_direct:
            return False
        if connection.queries_logged:  # Django would log a prepared statement without its text
            return False
        return session.is_idle

    def _fetch_prepared(self, connection: Any, sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        cursor = connection.cursor()  # and perhaps another session
        session = self._session(connection)
        cursor.cursor = preparing = self._preparing_cursor(connection, session)
        before, session.server.prepare_threshold = session.server.prepare_threshold, PREPARED_AFTER
        try:
            cursor.execute(sql, parameters)
        finally:
            session.server.prepare_threshold = before
        rows: list[tuple[Any, ...]] = preparing.fetchall()
        session.cursor, session.zone = preparing, connection.timezone
        session.check(rows[0])
        return rows

    def _preparing_cursor(self, connection: Any, session: Session) -> Any:
        """The cursor that is kept: it still knows how to write what the statement takes, and how to read its rows."""
        kept, session.cursor = session.cursor, None
        if kept is not None and session.zone is connection.timezone:
            return kept
        return self._reading_moments(binding_cursor(connection)).cursor

    def _session(self, connection: Any) -> Session:
        """The session that *connection* has now."""
        session = self._sessions.get(connection)
        if session is None or session.server is not connection.connection:
            session = Session(connection.connection, self._is_left_to_us(connection))
            self._sessions[connection] = session
        return session

    def _is_left_to_us(self, connection: Any) -> bool:
        """Whether the project says nothing itself of how its statements are sent."""
        from django.db.backends.postgresql.base import Cursor  # psycopg need not be installed

        settings = connection.settings_dict
        return (
            OPTIONS.isdisjoint(settings["OPTIONS"])
            and connection.connection.cursor_factory is Cursor
            and not settings.get("DISABLE_SERVER_SIDE_CURSORS")
        )
