"""Emptying the tables after a test that commits, in a tenth of the time that Django takes for it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import compress
from typing import Any

from django.core.management.color import no_style
from django.db import connections, transaction
from django.test import TransactionTestCase

KEPT = {"auth_permission", "django_content_type"}
"""Django empties them too, and then writes them anew, which is most of the time that it takes."""
MANY_ROWS = 1000
"""Which, once deleted, would be in the way of the tests that follow."""


def empty_tables(test: TransactionTestCase) -> None:
    """Take the place of Django's ``flush`` of the databases of *test*."""
    for alias in test._databases_names(include_mirrors=False):  # type: ignore[attr-defined]
        connection: Any = connections[alias]
        tables = [table for table in connection.introspection.django_table_names() if table not in KEPT]
        with transaction.atomic(alias), connection.constraint_checks_disabled(), connection.cursor() as cursor:
            deleted = 0
            for table in filled(cursor, map(connection.ops.quote_name, tables)):
                cursor.execute(f"DELETE FROM {table}")
                deleted += cursor.rowcount
        if deleted > MANY_ROWS:
            connection.ops.execute_sql_flush(connection.ops.sql_flush(no_style(), tables))


def filled(cursor: Any, tables: Iterable[str]) -> list[str]:
    """Those of the tables that have rows: few, most times."""
    tables = list(tables)
    cursor.execute("SELECT " + ", ".join(f"EXISTS (SELECT 1 FROM {table})" for table in tables))
    return list(compress(tables, cursor.fetchone()))
