"""MySQL: letting one go ahead of all who insert the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

from django_jobqueue.engines.mysql.database import MySQLDatabase, packets

NAME_LENGTH = 64
WAIT_SECONDS = 10
"""Longer, somebody waits for us: then it is left to InnoDB to find out."""

Row = tuple[Any, ...]


class MySQLGuarding(MySQLDatabase):
    """Inserts rows that a unique index may refuse.

    Those who meet at a unique index share a lock there when the first is done, and block each other when one goes on to
    write: a deadlock. So whoever inserts holds a named lock for each row meanwhile. Then no more than one waits at the
    index, and who comes after sees, without any lock in the table, what is there.
    """

    @contextmanager
    def guarded(self, names: Iterable[str]) -> Iterator[None]:
        """Hold the locks of all *names*; all take them in the same order."""
        wanted = [f"jq:{name}"[:NAME_LENGTH] for name in sorted(names)]
        locks = ", ".join([f"GET_LOCK(%s, {WAIT_SECONDS})"] * len(wanted))
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT {locks}", wanted)
            got = [name for name, answer in zip(wanted, cursor.fetchone(), strict=True) if answer]
        try:
            yield
        finally:
            self._release(got)

    def _release(self, names: Sequence[str]) -> None:
        """Let the locks of *names* go, which outlive a transaction.

        Beneath Django, which lets nothing more be said in a transaction that has lost a savepoint.
        """
        session = self.connection.connection
        if names and session is not None:
            with session.cursor() as cursor:
                cursor.execute("DO " + ", ".join(["RELEASE_LOCK(%s)"] * len(names)), names)

    def insert_rows(self, sql: str, row: str, ending: str, values: Sequence[Sequence[Any]]) -> list[Row]:
        """Insert as many of a row as there are *values*, in that order; answer with what the *ending* returns."""
        rows: list[Row] = []
        with self.connection.cursor() as cursor:
            for packet in packets(values, tuple):
                cursor.execute(sql + ",".join([row] * len(packet)) + ending, list(chain.from_iterable(packet)))
                rows += cursor.fetchall()
        return rows

    def insert_one(self, sql: str, row: str, values: Sequence[Any]) -> int | None:
        """Insert one row; answer with its id, or None, if it was not let in."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql + row, values)
            return cursor.lastrowid if cursor.rowcount else None
