"""SQLite: who listens sees by ``PRAGMA data_version`` that others have written, whatever it was."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from django_jobqueue.engines.base import Claiming, Ear, Waking, Word
from django_jobqueue.engines.sqlite.database import SQLiteDatabase
from django_jobqueue.engines.sqlite.writes import Writes

LOOK_SECONDS = 0.02
"""A look costs a few microseconds, and waking up for it fifty: much more often would be felt."""
QUIET_SECONDS = 0.1
"""Between two looks where the system tells of writes: in case that it does not, of this file. A worker that ends waits for one."""
WRITING_SECONDS = 1.0
"""For how long somebody who writes may take until others see it: the commit waits for the disk."""
BEGIN_SECONDS = 0.002
"""What a write mostly takes."""
SOON_SECONDS = 2.0
"""What is due later, workers find in time by themselves."""


class SQLiteEar(Ear):
    """Looks at a counter in the shared memory of the database when somebody writes; or else, fifty times a second."""

    def __init__(self, connection: Any, words: Collection[Word], is_of_use: Callable[[Word], bool]) -> None:
        self._connection = connection
        self._words = words
        self._is_of_use = is_of_use
        self._closed = False
        self._version = self._look()
        self._writes = Writes.to(self._files())
        self._written_until = 0.0

    def hear(self) -> Collection[Word]:
        sleep(LOOK_SECONDS)  # what many write one after the other is one word
        while not self._closed:
            before, self._version = self._version, self._look()
            if self._version != before and (heard := [word for word in self._words if self._is_of_use(word)]):
                return heard
            self._rest()
        return []

    def close(self) -> None:
        self._closed = True

    def end(self) -> None:
        if self._writes is not None:
            self._writes.close()

    def _rest(self) -> None:
        """Until somebody writes, or the next look is due."""
        if self._writes is None:
            sleep(LOOK_SECONDS)
        elif self._writes.wait(LOOK_SECONDS if monotonic() < self._written_until else QUIET_SECONDS):
            self._written_until = monotonic() + WRITING_SECONDS
            sleep(BEGIN_SECONDS)

    def _look(self) -> int:
        [version] = self._connection.execute("PRAGMA data_version").fetchone()
        return int(version)

    def _files(self) -> list[str]:
        """Where others write first what they commit: into the file, or its log."""
        [[file]] = self._connection.execute("SELECT file FROM pragma_database_list WHERE name = 'main'")
        return [name for name in (file, f"{file}-wal") if file and Path(name).exists()]


class SQLiteWaking(SQLiteDatabase, Claiming, Waking):
    """Hears all writes by any connection but its own, and reads whether they are of use."""

    @contextmanager
    def ear(self, words: Collection[Word]) -> Iterator[Ear]:
        django = self.connection
        with django.wrap_database_errors:
            django.ensure_connection()
            ear = SQLiteEar(django.connection, [word for word in words if not word.cancel], self._is_soon_due)
            try:
                yield ear
            finally:
                ear.end()

    def _is_soon_due(self, word: Word) -> bool:
        due = self.next_due(word.namespace, [word.queue])
        return due is not None and due <= SOON_SECONDS
