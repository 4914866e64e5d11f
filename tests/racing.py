"""Many threads that do the same at the same moment, each on its own connection; and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Any, TypeAlias

from django.db import OperationalError, connection, connections

from tests.worker.bench import PATIENCE_SECONDS, wait_until

Race: TypeAlias = Callable[[Callable[[int], Any]], list[Any]]
"""Calls a function in every thread, with the number of the thread; answers with what they answer, or raises."""

WAITING = {
    "MariaDB": """
        SELECT (SELECT variable_value FROM information_schema.global_status
                 WHERE variable_name = 'innodb_row_lock_current_waits')
             + (SELECT count(*) FROM information_schema.processlist WHERE state = 'User lock')
    """,
    "MySQL": """
        SELECT (SELECT variable_value FROM performance_schema.global_status
                 WHERE variable_name = 'innodb_row_lock_current_waits')
             + (SELECT count(*) FROM performance_schema.processlist WHERE state = 'User lock')
    """,
    "PostgreSQL": """
        SELECT count(*)
          FROM pg_locks
         WHERE NOT granted
           AND pid IN (SELECT pid FROM pg_locks
                        WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database()))
    """,
}
"""How many wait for a lock: in this database, where the server tells it at once; others use the same server."""


@contextmanager
def racing(runners: int) -> Iterator[Race]:
    """So many threads, until the block ends."""
    barrier = Barrier(runners, timeout=PATIENCE_SECONDS)

    def start(function: Callable[[int], Any], number: int) -> Any:
        barrier.wait()
        return function(number)

    with ThreadPoolExecutor(runners) as pool:

        def race(function: Callable[[int], Any]) -> list[Any]:
            calls = [pool.submit(start, function, number) for number in range(runners)]
            return [call.result() for call in calls]

        try:
            yield race
        finally:
            barrier.reset()
            race(lambda _number: connections.close_all())


def wait_for_the_lock(call: Future[Any], *, waiting: int = 1) -> None:
    """Return when *call*, in another thread, is one of so many that wait for a lock, or is done.

    SQLite does not tell of waiting.
    """
    if connection.vendor == "sqlite":
        return

    def waits() -> bool:
        with connection.cursor() as cursor:
            cursor.execute(WAITING[connection.display_name])
            [found] = cursor.fetchone()
        return call.done() or found >= waiting

    wait_until(waits)


@contextmanager
def colliding(statement: str, *codes: int) -> Iterator[None]:
    """Let a statement that holds these words collide, once for each of the *codes* of MariaDB."""
    left = list(codes)

    def collide(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if statement in sql and left:
            raise OperationalError(left.pop(0), "try restarting transaction")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(collide):
        yield
    assert not left
