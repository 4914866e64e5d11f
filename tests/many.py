"""Many runs by one statement."""

from __future__ import annotations

from django.db import connection

from django_jobqueue.models import Run


def multiply(run_id: int, copies: int) -> None:
    """Write so many more runs that are like one, but for their ids."""
    names = ", ".join(
        connection.ops.quote_name(str(field.column)) for field in Run._meta.concrete_fields if not field.primary_key
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO jobqueue_run ({names}) "
            "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < %s) "
            f"SELECT {names} FROM jobqueue_run CROSS JOIN number WHERE id = %s",
            [copies, run_id],
        )
