"""The wire between a worker and a child: messages as JSON, each behind its length. Nothing on it is ever executed."""

from __future__ import annotations

import json
import select
import socket
import struct
import threading
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from time import monotonic
from typing import Any, TypeAlias

from django_jobqueue.engines.base import Claim, Ref, Settlement
from django_jobqueue.states import Outcome, Reason, State

Message: TypeAlias = Mapping[str, Any]

LENGTH = struct.Struct("!I")
CHUNK = 65536


class Wire:
    """One end of a socket. Any thread may send; one receives."""

    def __init__(self, end: socket.socket, send_seconds: float | None = None) -> None:
        """*Send_seconds* is how long the other end may take to read what is sent; None: as long as it lives."""
        end.settimeout(send_seconds)
        self._end = end
        self._received = bytearray()
        self._sending = threading.Lock()
        self._poll = select.poll()
        self._poll.register(end, select.POLLIN)

    def send(self, **message: Any) -> None:
        """Send *message*. Raises OSError, if there is nobody any more, or TimeoutError, which is one, if nobody reads."""
        text = json.dumps(message).encode()
        with self._sending:
            self._end.sendall(LENGTH.pack(len(text)) + text)

    def receive(self, seconds: float) -> Message | None:
        """The next message, or None when the other end is closed. Raises TimeoutError if neither comes in time."""
        until = monotonic() + seconds
        while (message := self._complete()) is None:
            if not self._poll.poll(max(0.0, until - monotonic()) * 1000):
                raise TimeoutError
            try:
                chunk = self._end.recv(CHUNK)
            except ConnectionError:
                chunk = b""
            if not chunk:
                return None
            self._received += chunk
        return message

    def close(self) -> None:
        self._end.close()

    def _complete(self) -> Message | None:
        """The first message that is here as a whole."""
        if len(self._received) < LENGTH.size:
            return None
        [length] = LENGTH.unpack_from(self._received)
        end = LENGTH.size + length
        if len(self._received) < end:
            return None
        message: Message = json.loads(self._received[LENGTH.size : end])
        del self._received[:end]
        return message


def plain(item: Claim | Settlement) -> dict[str, Any]:
    """*Item* as JSON takes it."""
    fields = item._asdict() if isinstance(item, Claim) else asdict(item)
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in fields.items()}


def claim_of(fields: Message) -> Claim:
    """The claim that was made ``plain``."""
    return Claim(**{**fields, "run_at": _moment(fields["run_at"]), "fires_at": _moment(fields["fires_at"])})


def settlement_of(fields: Message) -> Settlement:
    """The settlement that was made ``plain``. Both ends have the same monotonic clock: that of the machine."""
    reason = fields["reason"]
    return Settlement(
        **{
            **fields,
            "ref": Ref(*fields["ref"]),
            "outcome": Outcome(fields["outcome"]),
            "state": State(fields["state"]),
            "reason": None if reason is None else Reason(reason),
            "run_at": _moment(fields["run_at"]),
        }
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
