"""What clients of PostgreSQL and their server say to each other, message by message."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

SSL_REQUEST = 80877103
QUERY, PARSE, BIND, SYNC, TERMINATE = b"Q", b"P", b"B", b"S", b"X"
"""What a client says: a statement, one to keep, one that it kept, that it wants an answer, and that it leaves."""
ERROR, READY = b"E", b"Z"
"""What a server says: that a statement failed, and that it waits for the next message."""
IDLE = b"I"
"""The body of READY where no transaction is open."""


class Message(NamedTuple):
    kind: bytes
    body: bytes

    def __bytes__(self) -> bytes:
        return self.kind + (len(self.body) + 4).to_bytes(4) + self.body

    @property
    def leaves_idle(self) -> bool:
        """Whether no transaction is open after it: what was asked for is committed, or has failed."""
        return self == (READY, IDLE)


async def read_message(reader: asyncio.StreamReader) -> Message:
    head = await reader.readexactly(5)
    return Message(head[:1], await reader.readexactly(int.from_bytes(head[1:]) - 4))


async def read_start(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """What a client begins with, without encryption."""
    while True:
        head = await reader.readexactly(8)
        body = await reader.readexactly(int.from_bytes(head[:4]) - 8)
        if int.from_bytes(head[4:]) != SSL_REQUEST:
            return head + body
        writer.write(b"N")
