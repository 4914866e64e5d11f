"""What must be true of a MariaDB or MySQL before a worker can rely on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError
from django.db import connections

OLDEST_MARIADB = (10, 6)
OLDEST_MYSQL = (8, 0, 17)
STRICT = {"STRICT_TRANS_TABLES", "STRICT_ALL_TABLES"}

SETTINGS = """
    SELECT @@tx_isolation, @@sql_mode, @@character_set_client, engine, table_collation
      FROM information_schema.tables
     WHERE table_schema = DATABASE()
       AND table_name = 'jobqueue_run'
"""


def require_mysql(alias: str) -> None:
    """Raise CommandError where the server of *alias* is too old, or works otherwise than the engine takes for granted."""
    connection: Any = connections[alias]  # the stubs lack what is said of MySQL
    if connection.vendor == "mysql":
        for flaw in _flaws(connection):
            raise CommandError(f"Database {alias!r} {flaw}")


def _flaws(connection: Any) -> Iterator[str]:
    """What is wrong, and what to do about it, most important first."""
    is_mariadb: bool = connection.mysql_is_mariadb
    name, oldest = ("MariaDB", OLDEST_MARIADB) if is_mariadb else ("MySQL", OLDEST_MYSQL)
    if connection.mysql_version < oldest:
        told, needed = (".".join(map(str, numbers)) for numbers in (connection.mysql_version, oldest))
        yield f"is {name} {told}. Workers need SKIP LOCKED, JSON_TABLE and binary collations: {name} {needed}."
    level, modes, spoken, engine, collation = _settings(connection, is_mariadb=is_mariadb)
    options = f'DATABASES["{connection.alias}"]["OPTIONS"]'
    if level != "READ-COMMITTED":
        yield (
            f"works in {level.replace('-', ' ')}: limits are exact, and claims and inserts do not block each other, in "
            f"READ COMMITTED only. Remove isolation_level from {options}: it is Django's default."
        )
    if STRICT.isdisjoint(modes.split(",")):
        yield (
            "works without strict mode: values that do not fit would be cut, and nobody told. Set STRICT_TRANS_TABLES in "
            f'the sql_mode of the server, or "init_command": "SET sql_mode = \'STRICT_TRANS_TABLES\'" in {options}.'
        )
    if spoken != "utf8mb4":
        yield f'is spoken to in {spoken}, which lacks characters. Remove charset from {options}, or let it be "utf8mb4".'
    if engine != "InnoDB":
        yield (
            f"keeps our tables in {engine}, which has no transactions. Run for each table of ours: "
            "ALTER TABLE ... ENGINE = InnoDB"
        )
    if not collation.startswith("utf8mb4_"):
        yield (
            f"keeps our tables in {collation.partition('_')[0]}, which lacks characters. Run: ALTER DATABASE CHARACTER SET "
            "utf8mb4. Then make our tables anew, which deletes all runs: manage.py migrate django_jobqueue zero; migrate"
        )


def _settings(connection: Any, *, is_mariadb: bool) -> tuple[str, str, str, str, str]:
    with connection.cursor() as cursor:
        cursor.execute(SETTINGS if is_mariadb else SETTINGS.replace("@@tx_", "@@transaction_"))
        settings: tuple[str, str, str, str, str] = cursor.fetchone()
    return settings
