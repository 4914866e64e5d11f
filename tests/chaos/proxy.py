"""A proxy between workers and their server: it knows when something is committed, before the worker does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

from tests.chaos.relay import Relay
from tests.servers import HOST

OnCommit: TypeAlias = Callable[[bytes], bool]
"""Is given what was asked of the server in a transaction that it has just committed, before the worker knows; answers
whether the worker shall never know, because the connection is cut."""

COMMITTED = b"COMMIT\0"
"""What a server says of it."""


class Proxy(Relay):
    """Passes on what workers and server say to each other, and asks ``on_commit`` before it says that something is committed."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.on_commit: OnCommit = lambda asked: False
        self._to_lose = self.lost = 0
        """How many replies were lost."""

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
        self._begin(link.forward(reader))
        self._begin(link.back(server_reader))


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
