"""The SQL of each database vendor, behind one small interface."""

from __future__ import annotations

from functools import cache

from django.db import connections
from django.utils.module_loading import import_string

from django_jobqueue.engines.base import Engine
from django_jobqueue.errors import ConfigError

ENGINES = {
    "mysql": "django_jobqueue.engines.mysql.MySQLEngine",
    "postgresql": "django_jobqueue.engines.postgresql.PostgreSQLEngine",
    "sqlite": "django_jobqueue.engines.sqlite.SQLiteEngine",
}
"""By dotted path, as of Django's own backends: a program loads the one that it uses."""


@cache
def engine_for(alias: str) -> Engine:
    """The engine of the database *alias*, one for the whole process."""
    vendor = connections[alias].vendor
    if vendor not in ENGINES:
        raise ConfigError([f"Database {alias!r} is {vendor}; runs can be kept in mysql, postgresql or sqlite."])
    engine: type[Engine] = import_string(ENGINES[vendor])
    return engine(alias)
