"""SQLite: the engine."""

from __future__ import annotations

from django_jobqueue.engines.base import Engine
from django_jobqueue.engines.sqlite.claiming import SQLiteClaiming
from django_jobqueue.engines.sqlite.glancing import SQLiteGlancing
from django_jobqueue.engines.sqlite.inserting import SQLiteInserting
from django_jobqueue.engines.sqlite.leases import SQLiteLeases
from django_jobqueue.engines.sqlite.lines import SQLiteLines
from django_jobqueue.engines.sqlite.reaping import SQLiteReaping
from django_jobqueue.engines.sqlite.schedules import SQLiteSchedules
from django_jobqueue.engines.sqlite.waking import SQLiteWaking


class SQLiteEngine(
    SQLiteInserting,
    SQLiteClaiming,
    SQLiteLeases,
    SQLiteReaping,
    SQLiteSchedules,
    SQLiteLines,
    SQLiteGlancing,
    SQLiteWaking,
    Engine,
):
    """The SQL of SQLite."""
