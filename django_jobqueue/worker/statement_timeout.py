"""The time that is left of an attempt, as the ``statement_timeout`` of its PostgreSQL connections.

A thread that waits for the database cannot be told that its time is over; the database can. It is told for the session: where
a pool gives it to others, that would befall them, and so nothing is set.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from math import ceil
from time import monotonic
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.dispatch import receiver

from django_jobqueue.worker.sessions import keeps_session


@dataclass(slots=True)
class _Limit:
    ends_at: float
    """By ``time.monotonic()``."""
    before: dict[BaseDatabaseWrapper, str] = field(default_factory=dict)
    """What is to be set again on connections that are limited."""


_now: ContextVar[_Limit | None] = ContextVar("django_jobqueue_statement_timeout", default=None)
"""None where the attempt has no timeout. Goes along with a coroutine into its threads."""

# Passes over a connection for which the project has set less.
LIMIT = """
    WITH earlier AS MATERIALIZED (SELECT current_setting('statement_timeout') AS value)
  SELECT value, set_config('statement_timeout', %(milliseconds)s, false)
    FROM earlier
   WHERE value::interval = interval '0'
      OR value::interval > %(milliseconds)s::integer * interval '1 ms'
"""


def limit(seconds: float) -> None:
    """Let the statements of this attempt end in so many seconds, on the connections that it has and on those it makes."""
    now = _Limit(monotonic() + seconds)
    _now.set(now)
    for connection in _opened():
        _limit(connection, now)


def is_limited() -> bool:
    """Whether the statements of this thread are."""
    return _now.get() is not None


def lift() -> None:
    """Let the connections of this thread be as they were."""
    before = now.before if (now := _now.get()) is not None else {}
    _now.set(None)
    for connection in _opened():
        if connection in before:
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('statement_timeout', %s, false)", [before[connection]])


@receiver(connection_created)
def _limit_new(*, connection: BaseDatabaseWrapper, **_: Any) -> None:
    if (now := _now.get()) is not None and keeps_session(connection):
        _limit(connection, now)


def _limit(connection: BaseDatabaseWrapper, now: _Limit) -> None:
    milliseconds = max(1, ceil((now.ends_at - monotonic()) * 1000))
    with connection.cursor() as cursor:
        cursor.execute(LIMIT, {"milliseconds": str(milliseconds)})
        for earlier, _ in cursor.fetchall():
            now.before[connection] = earlier


def _opened() -> list[BaseDatabaseWrapper]:
    return [
        connection
        for connection in connections.all(initialized_only=True)
        if connection.connection is not None and keeps_session(connection)
    ]
