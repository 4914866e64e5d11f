"""PostgreSQL: the engine."""

from __future__ import annotations

from django_jobqueue.engines.base import Engine
from django_jobqueue.engines.postgresql.claiming import PostgreSQLClaiming
from django_jobqueue.engines.postgresql.glancing import PostgreSQLGlancing
from django_jobqueue.engines.postgresql.inserting import PostgreSQLInserting
from django_jobqueue.engines.postgresql.leases import PostgreSQLLeases
from django_jobqueue.engines.postgresql.lines import PostgreSQLLines
from django_jobqueue.engines.postgresql.reaping import PostgreSQLReaping
from django_jobqueue.engines.postgresql.schedules import PostgreSQLSchedules
from django_jobqueue.engines.postgresql.waking import PostgreSQLWaking


class PostgreSQLEngine(
    PostgreSQLInserting,
    PostgreSQLClaiming,
    PostgreSQLLeases,
    PostgreSQLReaping,
    PostgreSQLSchedules,
    PostgreSQLLines,
    PostgreSQLGlancing,
    PostgreSQLWaking,
    Engine,
):
    """The SQL of PostgreSQL."""
