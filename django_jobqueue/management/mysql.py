"""What must be true of a MariaDB or MySQL before a worker can rely on it."""

from __future__ import annotations

from django.core.management.base import CommandError
from django.db import connections

OLDEST_MARIADB = (10, 6)
OLDEST_MYSQL = (8, 0, 11)


def require_mysql(alias: str) -> None:
    """Raise CommandError where the server of *alias* is too old, or works otherwise than the engine takes for granted."""
    connection = connections[alias]
    if connection.vendor != "mysql":
        return
    is_mariadb: bool = connection.mysql_is_mariadb  # type: ignore[attr-defined]  # the stubs lack it
    version: tuple[int, ...] = connection.mysql_version  # type: ignore[attr-defined]
    name, oldest = ("MariaDB", OLDEST_MARIADB) if is_mariadb else ("MySQL", OLDEST_MYSQL)
    if version < oldest:
        told, needed = (".".join(map(str, numbers)) for numbers in (version, oldest))
        raise CommandError(
            f"Database {alias!r} is {name} {told}. Workers need SKIP LOCKED and JSON_TABLE: {name} {needed}."
        )
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT @@{'tx_isolation' if is_mariadb else 'transaction_isolation'}")
        [level] = cursor.fetchone()
        cursor.execute(
            """
            SELECT engine
              FROM information_schema.tables
             WHERE table_schema = DATABASE()
               AND table_name = 'jobqueue_run'
            """
        )
        [engine] = cursor.fetchone()
    if level != "READ-COMMITTED":
        raise CommandError(
            f"Database {alias!r} works in {level.replace('-', ' ')}: limits are exact, and claims and inserts do not block "
            f'each other, in READ COMMITTED only. Remove isolation_level from DATABASES["{alias}"]["OPTIONS"]: it is '
            f"Django's default."
        )
    if engine != "InnoDB":
        raise CommandError(
            f"The tables in database {alias!r} are {engine}, which has no transactions. Run for each table of ours: "
            f"ALTER TABLE ... ENGINE = InnoDB"
        )
