"""The clock of PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import cast

from django_jobqueue.engines.base import Database


class PostgreSQLDatabase(Database):
    """Moments by the server's clock."""

    def now(self) -> datetime:
        [[now]] = self.fetch("SELECT statement_timestamp()", {})
        return cast("datetime", now)

    def timestamps(self) -> Callable[[datetime], str]:
        return datetime.isoformat
