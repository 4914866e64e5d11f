"""PostgreSQL: words go by NOTIFY.

Never in the transaction that adds the work: there a NOTIFY takes a lock, for which all commits of the server wait in line.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from selectors import EVENT_READ, DefaultSelector
from socket import socketpair
from typing import TYPE_CHECKING, Any

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


class PostgreSQLWaking(PostgreSQLDatabase, Waking):
    """Tells and hears with connections of its own, as a pooled one may not be kept and Django's cannot listen."""

    has_voice = True

    # A word is not worth waiting for the disk.
    TELL = """
        SELECT set_config('synchronous_commit', 'off', true), pg_notify(%s, word)
          FROM json_array_elements_text(%s::json) AS said(word)
    """

    @contextmanager
    def voice(self) -> Iterator[Voice]:
        with self._connect() as connection:

            def tell(words: Iterable[Word]) -> None:
                connection.execute(self.TELL, [CHANNEL, self.document(map(json.dumps, words))])

            yield tell

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
        with django.wrap_database_errors:
            connection = django.Database.connect(**django.get_connection_params(), autocommit=True)
            with connection:
                yield connection
