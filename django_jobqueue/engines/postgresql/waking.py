"""PostgreSQL: words go by NOTIFY.

Never in the transaction that adds the work: there a NOTIFY takes a lock, for which all commits of the server wait in line.
By itself it writes nothing that the disk must have, and so it does not wait for it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from selectors import EVENT_READ, DefaultSelector
from socket import socketpair
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError

from django_jobqueue.engines.base import Ear, Voice, Waking, Word
from django_jobqueue.engines.postgresql.database import PostgreSQLDatabase

if TYPE_CHECKING:
    from psycopg import Connection

CHANNEL = "jobqueue"
PING_SECONDS = 60.0
"""After such a silence the server is asked whether it is still there."""


class PostgreSQLEar(Ear):
    """Waits for the server, on a connection that listens."""

    def __init__(self, connection: Connection, words: Collection[Word]) -> None:
        self._connection = connection
        self._words = {json.dumps(word): word for word in words}
        self._closed, self._closing = socketpair()
        self._selector = DefaultSelector()
        self._selector.register(connection, EVENT_READ)
        self._selector.register(self._closed, EVENT_READ)

    def hear(self) -> Collection[Word]:
        while True:
            ready = [key.fileobj for key, _ in self._selector.select(PING_SECONDS)]
            if self._closed in ready:
                return []
            if not ready:
                self._connection.execute("SELECT 1")
            heard = {notify.payload for notify in self._connection.notifies(timeout=0)} & self._words.keys()
            if heard:
                return [self._words[payload] for payload in heard]

    def close(self) -> None:
        with suppress(OSError):  # nobody listens any more
            self._closing.send(b".")

    def end(self) -> None:
        self._selector.close()
        self._closed.close()
        self._closing.close()


class PostgreSQLVoice(Voice):
    """Sends a NOTIFY, and reads later what came of it."""

    def __init__(self, connection: Connection) -> None:
        from psycopg.pq import Escaping  # psycopg need not be installed

        self._server = connection.pgconn
        self._quoted = Escaping(self._server).escape_literal

    def say(self, words: Iterable[Word]) -> None:
        self._server.send_query(b";".join(map(self._notify, words)))

    def has_said(self) -> bool:
        self._server.consume_input()
        if self._server.is_busy():
            return False
        while (result := self._server.get_result()) is not None:
            if result.error_message:
                raise DatabaseError(result.error_message.decode(errors="replace"))
        return True

    def _notify(self, word: Word) -> bytes:
        return b"NOTIFY %s, %s" % (CHANNEL.encode(), self._quoted(json.dumps(word).encode()))


class PostgreSQLWaking(PostgreSQLDatabase, Waking):
    """Tells and hears with connections of its own, as a pooled one may not be kept and Django's cannot listen."""

    has_voice = True

    @contextmanager
    def voice(self) -> Iterator[Voice]:
        with self._connect() as connection:
            yield PostgreSQLVoice(connection)

    def ear(self, words: Collection[Word]) -> AbstractContextManager[Ear] | None:
        if self.connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"):
            return None  # a pool gives each transaction another session
        return self._ear(words)

    @contextmanager
    def _ear(self, words: Collection[Word]) -> Iterator[Ear]:
        with self._connect() as connection:
            connection.execute(f"LISTEN {CHANNEL}")
            ear = PostgreSQLEar(connection, words)
            try:
                yield ear
            finally:
                ear.end()

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        """A connection as Django makes them, but out of any pool; its errors are Django's."""
        django: Any = self.connection  # the stubs know nothing of what a vendor adds
        parameters = django.get_connection_params()
        with django.wrap_database_errors, closing(django.Database.connect(**parameters, autocommit=True)) as connection:
            yield connection
