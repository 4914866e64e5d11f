"""The clock of PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any, cast
from weakref import WeakSet

from django_jobqueue.engines.base import Database

BUSY = ("40001", "40P01")
"""What PostgreSQL calls a transaction that does not fit in with others, and a deadlock."""

KEPT_WAITING = "55P03"
"""What it calls a lock that was not to be had within the lock_timeout."""

PLANNED_AFTER = 3
"""How often a statement is said in a session that keeps plans, before its plan is kept."""

# Left to itself, PostgreSQL plans a claim anew each time, as it cannot know how few runs the limit will be; and a plan
# that it keeps was the best one for a table that may have been empty then. Each of our statements has its index.
# A pooler tells those who connect of a process of its own invention: what was set there would befall others.
PLAN_ONCE = """
    SELECT set_config('plan_cache_mode', 'force_generic_plan', false),
           set_config('enable_seqscan', 'off', false),
           set_config('enable_bitmapscan', 'off', false),
           set_config('jit', 'off', false)
     WHERE pg_backend_pid() = %(process)s
"""

AWAY = ("08", "57P01", "57P02", "57P03", "25006")
"""How what it calls an error begins where the connection is lost, the server shuts down or starts, or takes no writes."""

SHORT = ("53", KEPT_WAITING, "57", "58")
"""How it begins where the server lacks something, a statement has taken too long, or the operating system has failed."""


class PostgreSQLDatabase(Database):
    """Moments by the server's clock."""

    def __init__(self, alias: str) -> None:
        super().__init__(alias)
        self._planning_once: WeakSet[Any] = WeakSet()
        """The connections of psycopg that keep the plans of our statements."""

    def plan_once(self) -> None:
        from django.db.backends.postgresql.base import Cursor  # psycopg need not be installed

        server: Any = self.connection.connection
        if (
            server.cursor_factory is not Cursor
        ):  # one of the project, whose statements would be prepared and planned so too
            return
        if not self.fetch(PLAN_ONCE, {"process": server.pgconn.backend_pid}):
            return
        if server.prepare_threshold is None:
            server.prepare_threshold = PLANNED_AFTER
        self._planning_once.add(server)

    def is_busy(self, error: BaseException) -> bool:
        return state_of(error) in BUSY

    def is_kept_waiting(self, error: BaseException) -> bool:
        return state_of(error) == KEPT_WAITING

    def mark_transaction(self) -> None:
        # After a savepoint, or a query, a job could not choose its isolation level any more.
        self._do("SET LOCAL django_jobqueue.attempt = 'on'")

    def _still_has_mark(self) -> bool:
        [[mark]] = self.fetch("SELECT current_setting('django_jobqueue.attempt', true)", {})
        return bool(mark == "on")

    def _says_away(self, error: BaseException) -> bool:
        state = state_of(error)
        return state is None or state.startswith(AWAY)

    def _says_short(self, error: BaseException) -> bool:
        return (state_of(error) or "").startswith(SHORT)

    @property
    def has_lost_connection(self) -> bool:
        connection = self.connection.connection
        return connection is None or bool(connection.closed)  # to ask the server helps nothing in a broken transaction

    def now(self) -> datetime:
        [[now]] = self.fetch("SELECT statement_timestamp()", {})
        return cast("datetime", now)

    def fetch(self, sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        with self._cursor() as cursor:
            cursor.execute(sql, parameters)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows

    def fetch_each(self, statements: Iterable[str], parameters: dict[str, Any]) -> list[list[tuple[Any, ...]]]:
        """Run one statement after the other, and answer with the rows of each; in one round trip, if nothing forbids.

        Each sees what was committed before it began. The last one may be a COMMIT.
        """
        connection: Any = self.connection  # the stubs lack what is said of psycopg
        connection.ensure_connection()
        # A pooler may not know pipelines.
        if (
            connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS")
            or not connection.Database.Pipeline.is_supported()
        ):
            pipeline: AbstractContextManager[object] = nullcontext()
        else:
            pipeline = connection.connection.pipeline()
        cursors = []
        with connection.wrap_database_errors, pipeline:
            for sql in statements:
                cursors.append(self._cursor())
                cursors[-1].execute(sql, parameters)
        return [cursor.fetchall() if cursor.description else [] for cursor in cursors]

    def _cursor(self) -> Any:
        connection: Any = self.connection
        plans_once = connection.connection in self._planning_once
        return self._reading_moments(binding_cursor(connection) if plans_once else connection.cursor())

    def _reading_moments(self, cursor: Any) -> Any:
        """Let psycopg read moments for *cursor*. Django would write their zone into each, which takes ten times as long."""
        connection: Any = self.connection
        if connection.timezone is UTC:  # so is the zone of the session, then
            adapters = connection.Database.adapters
            loader = adapters.get_loader(adapters.types["timestamptz"].oid, connection.Database.pq.Format.TEXT)
            cursor.adapters.register_loader("timestamptz", loader)
        return cursor

    def timestamps(self) -> Callable[[datetime], str]:
        return datetime.isoformat


def binding_cursor(connection: Any) -> Any:
    """A cursor of Django's *connection*, which is open, that sends a statement and its values apart.

    The usual one writes the values into the statement.
    """
    from django.db.backends.postgresql.base import ServerBindingCursor  # psycopg need not be installed

    server = connection.connection
    before, server.cursor_factory = server.cursor_factory, ServerBindingCursor
    try:
        return connection.cursor()
    finally:
        server.cursor_factory = before


def state_of(error: BaseException) -> str | None:
    """What PostgreSQL calls an error of Django."""
    return getattr(error.__cause__, "sqlstate", None)
