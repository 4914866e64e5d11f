"""Prepared statements, for the few of ours that the main thread of a worker says again and again.

Django writes the values into each statement, which PostgreSQL then plans anew: for a small batch that takes longer than
the work. What the project says in that thread, before a run is added by a schedule, is said as the project wants it.
"""

from __future__ import annotations

from django.db.backends.base.base import BaseDatabaseWrapper

from django_jobqueue.conf import get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.worker.sessions import keeps_session


def prepared_statements(connection: BaseDatabaseWrapper) -> None:
    """Let it prepare the statements of the engine."""
    if connection.alias == get_config().database and keeps_session(connection):
        engine_for(connection.alias).plan_once()
