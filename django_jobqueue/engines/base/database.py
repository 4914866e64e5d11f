"""What all statements need of a database."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from django.db import DatabaseError, InterfaceError, InternalError, OperationalError, connections

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

T = TypeVar("T")

MARK = "jobqueue_attempt"


class Database(ABC):
    """One database alias, spoken to in the SQL of its vendor."""

    def __init__(self, alias: str) -> None:
        self.alias = alias

    @property
    def connection(self) -> BaseDatabaseWrapper:
        """Django's connection of the calling thread."""
        return connections[self.alias]

    has_one_writer: ClassVar[bool] = False
    """Whether a transaction that writes keeps everybody else from writing."""

    def plan_once(self) -> None:  # noqa: B027  # nothing is to be done where plans are not made anew for each statement
        """Let the plans of our statements be kept, for as long as the calling thread has its connection; it is open."""

    def begin_to_write(self) -> None:  # noqa: B027  # nothing is to be done where writers keep out of each other's way
        """Be the first statement of a transaction that may be kept waiting by others who write, not later ones."""

    def is_busy(self, error: BaseException) -> bool:
        """Whether *error* says that others were faster: the same transaction may well succeed when it is tried again."""
        return False

    def is_kept_waiting(self, error: BaseException) -> bool:
        """Whether *error* says that somebody has kept something locked for longer than we wait."""
        return False

    def mark_transaction(self) -> None:
        """Mark the transaction of the calling thread, which has just begun, for ``is_marked``."""
        self._do(f"SAVEPOINT {MARK}")

    def is_marked(self) -> bool:
        """Whether that goes on, and can be committed. Ask once: some databases tell by taking the mark away.

        It may have ended behind Django's back: by a statement of the job, or because the database undid it all for an error.
        """
        try:
            return self._still_has_mark()
        except DatabaseError as error:
            if self.is_away(error) or self.is_busy(error) or self.has_lost_connection:
                raise
            return False

    def _still_has_mark(self) -> bool:
        """Raises DatabaseError, too, where it has not."""
        self._do(f"RELEASE SAVEPOINT {MARK}")
        return True

    def _do(self, sql: str) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(sql)

    def is_away(self, error: BaseException) -> bool:
        """Whether *error* says that the database cannot be reached, or takes no writes: it may answer again.

        Not one that a database which is there has answered with: that would come again, however often one tries.
        """
        return isinstance(error, OperationalError | InterfaceError | InternalError) and self._says_away(error)

    @abstractmethod
    def _says_away(self, error: BaseException) -> bool: ...

    def is_passing(self, error: BaseException) -> bool:
        """Whether *error* says nothing of what was to be written: the same may well be written another time."""
        return self.is_away(error) or self.is_busy(error) or self._says_short(error)

    @abstractmethod
    def _says_short(self, error: BaseException) -> bool:
        """Whether *error* says that the database is short of something: of space, memory, connections or time."""

    @property
    def has_lost_connection(self) -> bool:
        """Whether the connection of the calling thread has come to its end."""
        return self.connection.connection is None or not self.connection.is_usable()

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
