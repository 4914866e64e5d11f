"""What may befall a database: a server to be stopped and killed, and a proxy that loses what it should pass on."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from os import environ
from types import TracebackType
from typing import Self

import psycopg
from django.db.backends.base.base import BaseDatabaseWrapper

from tests.servers import HOST, PostgresServer

EMPTY = "chaos"
"""The database with our tables, of which each test gets a copy."""
CROWD = "crowd"
"""Who takes the connections away from the workers."""


class SpareServer(PostgresServer):
    """A PostgreSQL beside that of the suite, with our tables."""

    def __init__(self) -> None:
        super().__init__(fsync=False, max_connections=20)
        self._databases = 0

    @property
    def environment(self) -> dict[str, str]:
        """What programs must know to work in the database of this test."""
        return self._environment(f"{EMPTY}_{self._databases}")

    @contextmanager
    def database_of(self, connection: BaseDatabaseWrapper) -> Iterator[None]:
        """Let *connection* lead to a new database, until the end of the block."""
        if self._databases == 0:
            self._create_tables()
        self._databases += 1
        self._execute(f"CREATE DATABASE {EMPTY}_{self._databases} TEMPLATE {EMPTY}")
        connection.close()
        before = dict(connection.settings_dict)
        connection.settings_dict |= {"NAME": f"{EMPTY}_{self._databases}", "HOST": HOST, "PORT": str(self.port)}
        try:
            yield
        finally:
            connection.close()
            connection.settings_dict |= {key: before[key] for key in ("NAME", "HOST", "PORT")}

    def terminate_backends(self) -> int:
        """End the sessions of all others; return how many there were."""
        with self._connect() as admin:
            return self._terminate(admin)

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Be as a replica is after a failover, until the end of the block."""
        self._set_read_only("on")
        try:
            yield
        finally:
            self._set_read_only("off")

    @contextmanager
    def crowded(self) -> Iterator[None]:
        """Let others have all connections that there are, until the end of the block."""
        with self._connect() as admin, ExitStack() as crowd:
            self._fill(crowd)
            while self._terminate(admin):  # some are quick to come back
                self._fill(crowd)
            yield

    def _fill(self, crowd: ExitStack) -> None:
        with suppress(psycopg.OperationalError):
            while True:
                crowd.enter_context(self._connect(application_name=CROWD))

    def _set_read_only(self, value: str) -> None:
        self._execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
        self._execute("SELECT pg_reload_conf()")

    def _create_tables(self) -> None:
        self._execute(f"CREATE DATABASE {EMPTY}")
        subprocess.run(
            [sys.executable, "-m", "django", "migrate", "--verbosity=0"],
            check=True,
            env=environ | self._environment(EMPTY) | {"DJANGO_SETTINGS_MODULE": "tests.settings"},
        )

    def _environment(self, database: str) -> dict[str, str]:
        return {
            "JOBQUEUE_TEST_POSTGRESQL_HOST": HOST,
            "JOBQUEUE_TEST_POSTGRESQL_PORT": str(self.port),
            "JOBQUEUE_TEST_DATABASE_NAME": database,
        }

    def _execute(self, sql: str) -> None:
        with self._connect() as admin:
            admin.execute(sql)

    def _terminate(self, admin: psycopg.Connection) -> int:
        sessions = admin.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND application_name <> %s AND pid <> pg_backend_pid()",
            [CROWD],
        )
        return len(sessions.fetchall())

    def _connect(self, application_name: str = "") -> psycopg.Connection:
        return psycopg.connect(self.conninfo(), autocommit=True, application_name=application_name)


class Proxy:
    """Passes on what workers and server say to each other; loses the reply to a COMMIT where it is told to."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._pumps: set[asyncio.Task[None]] = set()
        self._to_lose = 0
        self.lost = 0

    @property
    def environment(self) -> dict[str, str]:
        return {"JOBQUEUE_TEST_POSTGRESQL_PORT": str(self.port)}

    def __enter__(self) -> Self:
        self._thread.start()
        start = asyncio.start_server(self._serve, HOST, 0)
        self._server = asyncio.run_coroutine_threadsafe(start, self._loop).result()
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def lose_replies_to_commit(self, count: int) -> None:
        """Cut the next so many connections that commit, when the server has answered."""
        self._to_lose += count

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection(HOST, self._server_port)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(self, writer, server_writer)
        for pump in (link.forward(reader), link.back(server_reader)):
            task = asyncio.ensure_future(pump)
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    def loses(self) -> bool:
        """Decide of one COMMIT."""
        if self._to_lose <= self.lost:
            return False
        self.lost += 1
        return True

    async def _close(self) -> None:
        self._server.close()
        for pump in list(self._pumps):
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)


class _Link:
    """One connection through the proxy."""

    def __init__(self, proxy: Proxy, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._cut = False

    async def forward(self, reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while message := await reader.read(65536):
                self._cut = self._cut or (b"COMMIT" in message and self._proxy.loses())
                self._server.write(message)
        self._end()

    async def back(self, reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while (message := await reader.read(65536)) and not self._cut:
                self._client.write(message)
        self._end()

    def _end(self) -> None:
        for writer in (self._client, self._server):
            writer.transport.abort()
