"""PostgreSQL: the engine."""

from __future__ import annotations

from django_jobqueue.engines.base import Engine
from django_jobqueue.engines.postgresql.counted_claiming import PostgreSQLCountedClaiming
from django_jobqueue.engines.postgresql.glancing import PostgreSQLGlancing
from django_jobqueue.engines.postgresql.inserting import PostgreSQLInserting
from django_jobqueue.engines.postgresql.leases import PostgreSQLLeases
from django_jobqueue.engines.postgresql.reaping import PostgreSQLReaping
from django_jobqueue.engines.postgresql.schedules import PostgreSQLSchedules
from django_jobqueue.engines.postgresql.waking import PostgreSQLWaking


class PostgreSQLEngine(
    PostgreSQLInserting,
    PostgreSQLCountedClaiming,
    PostgreSQLLeases,
    PostgreSQLReaping,
    PostgreSQLSchedules,
    PostgreSQLGlancing,
    PostgreSQLWaking,
    Engine,
):
    """The SQL of PostgreSQL."""
