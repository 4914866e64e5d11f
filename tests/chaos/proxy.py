"""A proxy between workers and their server: it knows when something is committed, before the worker does."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

from tests.chaos import protocol
from tests.chaos.protocol import Message, read_message, read_start
from tests.chaos.relay import Relay
from tests.servers import HOST

OnCommit: TypeAlias = Callable[[bytes], bool]
"""Is given the statements of a transaction that the server has just committed, before the worker knows; answers whether the
worker shall never know, because the connection is cut."""

CLAIM = b"SET state = 'running'"
SETTLE = b"INSERT INTO jobqueue_attempt"
ENTER = b'INSERT INTO "auth_group"'
"""How the statements of a claim, a settlement, and an atomic job are known."""
WRITE = re.compile(rb'INSERT INTO|DELETE FROM|UPDATE "?jobqueue_')


class Proxy(Relay):
    """Passes on what workers and server say to each other, and asks ``on_commit`` before it says that something is committed.

    That may be a transaction, or a statement by itself.
    """

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.on_commit: OnCommit = lambda asked: False
        self.lost = 0
        """How many replies were lost."""

    def lose_reply(self, statement: bytes) -> None:
        """Cut the connection that commits such a *statement* next, when the server has answered."""
        end = self.lost + 1
        self.on_commit = lambda asked: self.lost < end and statement in asked

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
        self._prepared: dict[bytes, bytes] = {}
        """Statements that the server keeps for us, by name."""
        self._asked: list[bytes] = []
        """Statements since no transaction was open."""

    async def forward(self, reader: asyncio.StreamReader) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            self._server.write(await read_start(reader, self._client))
            while True:
                message = await read_message(reader)
                self._note(message)
                self._server.write(bytes(message))
        self._end()

    async def back(self, reader: asyncio.StreamReader) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while not self._is_to_be_lost(message := await read_message(reader)):
                self._client.write(bytes(message))
        self._end()

    def _note(self, message: Message) -> None:
        match message.kind:
            case protocol.QUERY:
                self._asked.append(message.body)
            case protocol.PARSE:
                name, statement, *_ = message.body.split(b"\0")
                self._prepared[name] = statement
            case protocol.BIND:
                _, name, *_ = message.body.split(b"\0")
                self._asked.append(self._prepared.get(name, b""))

    def _is_to_be_lost(self, message: Message) -> bool:
        if message.kind == protocol.ERROR:
            self._asked.clear()
        if not message.leaves_idle:
            return False
        asked = b"\n".join(self._asked)
        self._asked.clear()
        is_lost = WRITE.search(asked) is not None and self._proxy.on_commit(asked)
        self._proxy.lost += is_lost
        return is_lost

    def _end(self) -> None:
        for writer in (self._client, self._server):
            writer.transport.abort()
