"""Commits in a test: what they would do, inside of a transaction that is never committed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger(__name__)


@contextmanager
def as_if_committed() -> Iterator[None]:
    """Where the caller is in a transaction, let what is done in the block end as it would outside of one.

    What is written stays, whatever became of the job; what is to be called on commit is called. Where a statement
    failed, so that the transaction can do nothing more, all that was done in the block is undone.
    """
    with ExitStack() as ends:
        for connection in connections.all(initialized_only=True):
            if connection.in_atomic_block:
                ends.enter_context(_committed_savepoint(connection))
        yield


@contextmanager
def _committed_savepoint(connection: BaseDatabaseWrapper) -> Iterator[None]:
    savepoint: str = connection.savepoint()  # type: ignore[assignment]  # None is for where there is no transaction
    before = len(connection.run_on_commit)
    yield
    if not _released(connection, savepoint):
        connection.needs_rollback = False
        connection.savepoint_rollback(savepoint)
        connection.savepoint_commit(savepoint)
        del connection.run_on_commit[before:]
    while len(connection.run_on_commit) > before:
        _, function, robust = connection.run_on_commit.pop(before)  # type: ignore[misc]  # the stubs forget the last
        with _committed_savepoint(connection):
            try:
                function()
            except Exception:
                if not robust:
                    raise
                logger.exception("%r, to be called on commit, failed.", function)


def _released(connection: BaseDatabaseWrapper, savepoint: str) -> bool:
    try:
        connection.savepoint_commit(savepoint)
    except DatabaseError:  # of PostgreSQL, or of Django: a statement failed, and nothing else can be done
        return False
    return True
