"""PostgreSQL, from version 14.

Two rules hold throughout. The clock is ``statement_timestamp()``: unlike ``now()`` it moves on after a wait for a lock,
and unlike ``clock_timestamp()`` it may bound an index scan. Batches travel as one JSON document: psycopg binds a text
much faster than an array, and the plan does not depend on the size of the batch. A batch is joined by the document,
but found by ``id = ANY(ARRAY(...))``: that leads the planner to the primary key, whatever it believes of the size of the
table, which after a purge may be far off.
"""

from __future__ import annotations

from django_jobqueue.engines.postgresql.engine import PostgreSQLEngine

__all__ = ["PostgreSQLEngine"]
