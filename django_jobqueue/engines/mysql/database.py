"""MySQL: its clock, how it writes moments, and its transactions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, TypeVar

from django.db import OperationalError, transaction

from django_jobqueue.engines.base import Database
from django_jobqueue.models.now import ahead_of_utc

NOW = "(UTC_TIMESTAMP(6) + INTERVAL %(ahead_of_utc)s SECOND)"
"""The clock, whatever the time zone of the server or of the session is. Every statement may use it."""

KEPT_WAITING = 1205
COLLISIONS = {KEPT_WAITING, 1213}
"""What MySQL calls a wait for a lock that took too long, and a deadlock."""

AWAY = {0, 1053, 1290, 1792, 1836, 1927, 4031, *range(2000, 3000)}
"""What it calls a server that shuts down, takes no writes, or has ended the connection, and the client one that is lost."""

SHORT = {1021, 1037, 1038, 1040, 1041, 1114, 1203, 1226, 1317, 1969, 3024}
"""What it calls a server that lacks space, memory or connections, and a statement that has taken too long."""

TRIES = 3

PACKET = 2 * 1024 * 1024
"""Most characters of what one statement writes: the server hangs up on more bytes than ``max_allowed_packet``, 16 MiB."""

T = TypeVar("T")


class MySQLDatabase(Database):
    """Moments by the clock of the server."""

    def is_busy(self, error: BaseException) -> bool:
        return isinstance(error, OperationalError) and has_collided(error)

    def is_kept_waiting(self, error: BaseException) -> bool:
        return isinstance(error, OperationalError) and error.args[:1] == (KEPT_WAITING,)

    def _says_away(self, error: BaseException) -> bool:
        code = error.args[0] if error.args else 0
        return not isinstance(code, int) or code in AWAY

    def _says_short(self, error: BaseException) -> bool:
        return isinstance(error, OperationalError) and bool(error.args) and error.args[0] in SHORT

    def now(self) -> datetime:
        [[now]] = self.fetch(f"SELECT {NOW}", {})
        return self.aware(now)

    def timestamps(self) -> Callable[[datetime], str]:
        zone = self.connection.timezone
        return str if zone is None else lambda moment: str(moment.astimezone(zone).replace(tzinfo=None))

    def aware(self, moment: datetime) -> datetime:
        """A moment out of a column, which says nothing of its zone, as Django would have it."""
        zone = self.connection.timezone
        return moment if zone is None else moment.replace(tzinfo=zone)

    def fetch(self, sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        return super().fetch(sql, self.with_clock(parameters))

    def with_clock(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """The *parameters* of a statement, with what ``NOW`` needs beside."""
        return parameters | {"ahead_of_utc": ahead_of_utc(self.connection)}

    def together(self, work: Callable[[], T]) -> T:
        """Let *work* be one transaction, or a part of the caller's."""
        if self.connection.in_atomic_block:
            return work()
        return self.insist(transaction.atomic(using=self.alias)(work))

    def insist(self, work: Callable[[], T]) -> T:
        if self.connection.in_atomic_block:
            return work()
        for tries_left in reversed(range(TRIES)):
            try:
                return work()
            except OperationalError as error:
                if not (tries_left and has_collided(error)):
                    raise
        raise AssertionError("the last try answers, or raises")


def has_collided(error: OperationalError) -> bool:
    """Whether the same transaction may well succeed when it is tried again."""
    return bool(error.args) and error.args[0] in COLLISIONS


def packets(rows: Iterable[T], values: Callable[[T], Iterable[Any]]) -> Iterator[list[T]]:
    """As many *rows* at once as one statement may hold, of which *values* tells what is written of each."""
    packet: list[T] = []
    size = 0
    for row in rows:
        weight = sum(len(value) for value in values(row) if isinstance(value, str))
        if packet and size + weight > PACKET:
            yield packet
            packet, size = [], 0
        packet.append(row)
        size += weight
    if packet:
        yield packet


def microseconds(seconds: float) -> int:
    """What an INTERVAL takes exactly."""
    return round(seconds * 1_000_000)
