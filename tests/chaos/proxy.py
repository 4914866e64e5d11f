"""A proxy between workers and their server: it knows when something is committed, before the worker does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self, TypeAlias

from tests.servers import HOST

OnCommit: TypeAlias = Callable[[bytes], bool]
"""Is given what was asked of the server in a transaction that it has just committed, before the worker knows; answers
whether the worker shall never know, because the connection is cut."""

COMMITTED = b"COMMIT\0"
"""What a server says of it."""


class Proxy:
    """Passes on what workers and server say to each other, and asks ``on_commit`` before it says that something is committed."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._pumps: set[asyncio.Task[None]] = set()
        self.on_commit: OnCommit = lambda asked: False
        self._to_lose = self.lost = 0
        """How many replies were lost."""

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
        self.on_commit = lambda asked: self.lost < self._to_lose

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
        self._asked = b""

    async def forward(self, reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while message := await reader.read(65536):
                self._asked = message if b"BEGIN" in message else self._asked + message
                self._server.write(message)
        self._end()

    async def back(self, reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while message := await reader.read(65536):
                if COMMITTED in message and self._proxy.on_commit(self._asked):
                    self._proxy.lost += 1
                    break
                self._client.write(message)
        self._end()

    def _end(self) -> None:
        for writer in (self._client, self._server):
            writer.transport.abort()
