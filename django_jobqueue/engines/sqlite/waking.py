"""SQLite: who listens sees by ``PRAGMA data_version`` that others have written, whatever it was."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from time import sleep
from typing import Any

from django_jobqueue.engines.base import Claiming, Ear, Waking, Word
from django_jobqueue.engines.sqlite.database import SQLiteDatabase

LOOK_SECONDS = 0.02
"""A look costs a few microseconds, and waking up for it fifty: much more often would be felt."""
SOON_SECONDS = 2.0
"""What is due later, workers find in time by themselves."""


class SQLiteEar(Ear):
    """Looks at a counter in the shared memory of the database, fifty times a second."""

    def __init__(self, connection: Any, words: Collection[Word], is_of_use: Callable[[Word], bool]) -> None:
        self._connection = connection
        self._words = words
        self._is_of_use = is_of_use
        self._closed = False
        self._version = self._look()

    def hear(self) -> Collection[Word]:
        while not self._closed:
            sleep(LOOK_SECONDS)
            before, self._version = self._version, self._look()
            if self._version != before and (heard := [word for word in self._words if self._is_of_use(word)]):
                return heard
        return []

    def close(self) -> None:
        self._closed = True

    def _look(self) -> int:
        [version] = self._connection.execute("PRAGMA data_version").fetchone()
        return int(version)


class SQLiteWaking(SQLiteDatabase, Claiming, Waking):
    """Hears all writes by any connection but its own, and reads whether they are of use."""

    @contextmanager
    def ear(self, words: Collection[Word]) -> Iterator[Ear]:
        django = self.connection
        with django.wrap_database_errors:
            django.ensure_connection()
            yield SQLiteEar(django.connection, [word for word in words if not word.cancel], self._is_soon_due)

    def _is_soon_due(self, word: Word) -> bool:
        due = self.next_due(word.namespace, [word.queue])
        return due is not None and due <= SOON_SECONDS
