"""The clock of PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any, cast

from django_jobqueue.engines.base import Database

BUSY = ("40001", "40P01")
"""What PostgreSQL calls a transaction that does not fit in with others, and a deadlock."""

KEPT_WAITING = "55P03"
"""What it calls a lock that was not to be had within the lock_timeout."""

AWAY = ("08", "57P01", "57P02", "57P03", "25006")
"""How what it calls an error begins where the connection is lost, the server shuts down or starts, or takes no writes."""

SHORT = ("53", KEPT_WAITING, "57", "58")
"""How it begins where the server lacks something, a statement has taken too long, or the operating system has failed."""


class PostgreSQLDatabase(Database):
    """Moments by the server's clock."""

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
        """A cursor that lets psycopg read moments. Django would write their zone into each, which takes ten times as long."""
        connection: Any = self.connection
        cursor = connection.cursor()
        if connection.timezone is UTC:  # so is the zone of the session, then
            adapters = connection.Database.adapters
            loader = adapters.get_loader(adapters.types["timestamptz"].oid, connection.Database.pq.Format.TEXT)
            cursor.adapters.register_loader("timestamptz", loader)
        return cursor

    def timestamps(self) -> Callable[[datetime], str]:
        return datetime.isoformat


def state_of(error: BaseException) -> str | None:
    """What PostgreSQL calls an error of Django."""
    return getattr(error.__cause__, "sqlstate", None)
