"""A pooler in transaction mode, at its worst: every transaction of a connection comes to another session of the server."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import cycle

from tests.chaos.protocol import QUERY, READY, SYNC, TERMINATE, read_message, read_start
from tests.chaos.relay import Relay
from tests.servers import HOST


class Pooler(Relay):
    """Gives each connection two sessions, which take turns: what one keeps, the other does not know."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.turns = 0
        """How often a connection has got the other session."""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._begin(self._pool(reader, writer))

    async def _pool(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sessions = []
        with suppress(OSError, asyncio.IncompleteReadError):
            start = await read_start(reader, writer)
            for number in range(2):
                sessions.append(await asyncio.open_connection(HOST, self._server_port))
                sessions[-1][1].write(start)
                await self._answer(sessions[-1][0], writer if number == 0 else None)
            for answers, asks in cycle(sessions):
                idle = False
                while not idle:
                    await self._ask(reader, asks)
                    idle = await self._answer(answers, writer)
                self.turns += 1
        for end in (writer, *(asks for _, asks in sessions)):
            end.transport.abort()

    async def _ask(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        """Pass on what a client asks for, up to where it wants an answer. Raises OSError where it leaves."""
        kind = b""
        while kind not in (QUERY, SYNC):
            message = await read_message(reader)
            kind = message.kind
            if kind == TERMINATE:
                raise ConnectionResetError
            server.write(bytes(message))

    async def _answer(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter | None) -> bool:
        """Pass on the answer; say whether no transaction is open after it."""
        kind = b""
        while kind != READY:
            message = await read_message(reader)
            kind = message.kind
            if client is not None:
                client.write(bytes(message))
        return message.leaves_idle
