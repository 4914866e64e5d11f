"""What all statements need of a database."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import connections

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

T = TypeVar("T")


class Database(ABC):
    """One database alias, spoken to in the SQL of its vendor."""

    def __init__(self, alias: str) -> None:
        self.alias = alias

    @property
    def connection(self) -> BaseDatabaseWrapper:
        """Django's connection of the calling thread."""
        return connections[self.alias]

    @abstractmethod
    def now(self) -> datetime:
        """The clock that decides what is due."""

    def document(self, rows: Iterable[object]) -> str:
        """A batch as JSON text."""
        return json.dumps(list(rows), ensure_ascii=False, separators=(",", ":"), default=self.timestamps())

    @abstractmethod
    def timestamps(self) -> Callable[[datetime], str]:
        """What writes a moment as this database compares it with its columns."""

    def insist(self, work: Callable[[], T]) -> T:
        """Let *work* do its transaction; again, where the database has undone it and says to try it once more.

        Part of a transaction of the caller, it is his to repeat.
        """
        return work()

    def fetch(self, sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        """Run one statement and answer with its rows."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
