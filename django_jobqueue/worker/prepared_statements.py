"""Prepared statements, for the few of ours that the main thread of a worker says again and again.

Django writes the values into each statement, which PostgreSQL then plans anew: for a small batch that takes longer than
the work. What the project says in that thread, before a run for dead letters is added, is not prepared.
"""

from __future__ import annotations

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_jobqueue.conf import get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.worker.sessions import keeps_session


def prepared_statements(connection: BaseDatabaseWrapper) -> None:
    """Let it prepare the statements of the engine, if that speaks through it."""
    alias = get_config().database
    if connection is connections[alias] and keeps_session(connection):
        engine_for(alias).plan_once()
