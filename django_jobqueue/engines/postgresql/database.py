"""The clock of PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, tzinfo
from functools import lru_cache
from typing import Any, cast

from django_jobqueue.engines.base import Database


class PostgreSQLDatabase(Database):
    """Moments by the server's clock."""

    def now(self) -> datetime:
        [[now]] = self.fetch("SELECT statement_timestamp()", {})
        return cast("datetime", now)

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
                cursors.append(connection.cursor())
                cursors[-1].execute(sql, parameters)
        return [cursor.fetchall() if cursor.description else [] for cursor in cursors]

    def timestamps(self) -> Callable[[datetime], str]:
        return datetime.isoformat


@lru_cache(maxsize=8)
def moment(zone: tzinfo | None, text: str) -> datetime:
    """A moment that a statement has returned as *text*, as Django would have it, who takes ten times as long.

    The rows of a batch mostly have the same.
    """
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=None) if zone is None else moment.astimezone(zone)
