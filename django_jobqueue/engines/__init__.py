"""The SQL of each database vendor, behind one small interface."""

from __future__ import annotations

from functools import cache

from django.db import connections

from django_jobqueue.engines.base import Engine
from django_jobqueue.engines.mysql import MySQLEngine
from django_jobqueue.engines.postgresql import PostgreSQLEngine
from django_jobqueue.engines.sqlite import SQLiteEngine
from django_jobqueue.errors import ConfigError

ENGINES: dict[str, type[Engine]] = {"mysql": MySQLEngine, "postgresql": PostgreSQLEngine, "sqlite": SQLiteEngine}


@cache
def engine_for(alias: str) -> Engine:
    """The engine of the database *alias*, one for the whole process."""
    vendor = connections[alias].vendor
    if vendor not in ENGINES:
        raise ConfigError([f"Database {alias!r} is {vendor}; runs can be kept in mysql, postgresql or sqlite."])
    return ENGINES[vendor](alias)
