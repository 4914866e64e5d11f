"""MySQL: walking through the pending runs of a queue, in the order of claiming."""

from __future__ import annotations

from typing import Any

from django_jobqueue.engines.mysql.database import MySQLDatabase

ABOVE_ALL = 2**15
"""More than any priority."""


class MySQLWalking(MySQLDatabase):
    """Goes from level to level, highest first, and only as far as it must; a level is a priority that has a pending run.

    Each level is a statement of its own, because a recursive one would look through the whole index.
    """

    # Those in sight of every claim stand in the line NULL.
    LEVEL = """
          SELECT priority
            FROM jobqueue_run FORCE INDEX (jobqueue_run_claim)
           WHERE namespace = %(namespace)s
             AND queue = %(queue)s
             AND state = 'pending'
             AND blocked_on <=> %(line)s
             AND priority < %(below)s
        ORDER BY priority DESC
           LIMIT 1
    """

    def level(self, namespace: str, queue: str, line: str | None = None, *, below: int = ABOVE_ALL) -> int | None:
        """The highest priority *below* another that has runs in a line."""
        parameters = {"namespace": namespace, "queue": queue, "line": line, "below": below}
        rows = self.fetch(self.LEVEL, parameters)
        return rows[0][0] if rows else None

    def walk(
        self, sql: str, namespace: str, queue: str, line: str | None = None, *, limit: int, **parameters: Any
    ) -> list[tuple[Any, ...]]:
        """Up to *limit* rows of what *sql* finds at each level."""
        parameters |= {"namespace": namespace, "queue": queue, "line": line}
        rows: list[tuple[Any, ...]] = []
        below = ABOVE_ALL
        while len(rows) < limit and (priority := self.level(namespace, queue, line, below=below)) is not None:
            rows += self.fetch(sql, parameters | {"priority": priority, "limit": limit - len(rows)})
            below = priority
        return rows
