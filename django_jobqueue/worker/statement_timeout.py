"""The time that is left of an attempt, as the ``statement_timeout`` of its PostgreSQL connections.

A thread that waits for the database cannot be told that its time is over; the database can.
"""

from __future__ import annotations

from contextvars import ContextVar
from math import ceil
from time import monotonic
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.dispatch import receiver

_ends_at: ContextVar[float | None] = ContextVar("django_jobqueue_attempt_ends_at", default=None)
"""By ``time.monotonic()``; None where the attempt has no timeout. Goes along with a coroutine into its threads."""


def limit(seconds: float) -> None:
    """Let the statements of this attempt end in so many seconds, on the connections that it has and on those it makes."""
    _ends_at.set(monotonic() + seconds)
    for connection in _opened():
        _limit(connection, seconds)


def is_limited() -> bool:
    """Whether the statements of this thread are."""
    return _ends_at.get() is not None


def lift() -> None:
    """Let the connections of this thread be as they were."""
    _ends_at.set(None)
    for connection in _opened():
        with connection.cursor() as cursor:
            cursor.execute("RESET statement_timeout")


@receiver(connection_created)
def _limit_new(*, connection: BaseDatabaseWrapper, **_: Any) -> None:
    if (ends_at := _ends_at.get()) is not None and connection.vendor == "postgresql":
        _limit(connection, ends_at - monotonic())


def _limit(connection: BaseDatabaseWrapper, seconds: float) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('statement_timeout', %(milliseconds)s, false)",
            {"milliseconds": str(max(1, ceil(seconds * 1000)))},
        )


def _opened() -> list[BaseDatabaseWrapper]:
    return [
        connection
        for connection in connections.all(initialized_only=True)
        if connection.vendor == "postgresql" and connection.connection is not None
    ]
