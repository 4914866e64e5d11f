"""SQLite: the statements of limits."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django_jobqueue.engines.base import Bounds, Locking, Placing, passed_over
from django_jobqueue.engines.sqlite.database import SQLiteDatabase
from django_jobqueue.limits import Candidate, Limit


class SQLiteLines(SQLiteDatabase, Locking):
    """Nobody writes beside a writer: the lock of any queue is the lock of the database."""

    LOCK = """
        UPDATE jobqueue_queue_state
           SET job = job
         WHERE FALSE
    """

    def wait_for_lock(self, namespace: str, queues: Collection[str]) -> None:
        self.fetch(self.LOCK, {})

    COUNT_RUNNING = """
        SELECT queue, job, concurrency_key, count(*)
          FROM jobqueue_run
         WHERE namespace = %(namespace)s
           AND queue IN (SELECT value FROM json_each(%(queues)s))
           AND state = 'running'
      GROUP BY queue, job, concurrency_key
    """

    # The levels of a claim; see ``SQLiteClaiming.CLAIM``.
    CANDIDATES = """
        WITH RECURSIVE level (priority) AS (
            SELECT *
              FROM (SELECT priority
                      FROM jobqueue_run
                     WHERE namespace = %(namespace)s
                       AND queue = %(queue)s
                       AND state = 'pending'
                       AND blocked_on IS NULL
                  ORDER BY priority DESC
                     LIMIT 1)
         UNION ALL
            SELECT (SELECT lower.priority
                      FROM jobqueue_run AS lower
                     WHERE lower.namespace = %(namespace)s
                       AND lower.queue = %(queue)s
                       AND lower.state = 'pending'
                       AND lower.blocked_on IS NULL
                       AND lower.priority < level.priority
                  ORDER BY lower.priority DESC
                     LIMIT 1)
              FROM level
             WHERE level.priority IS NOT NULL
        ), held (label) AS (
            SELECT value
              FROM json_each(%(held)s)
        )
            SELECT run.id, run.priority, run.run_at, run.job, run.concurrency_key, run.rate_key, run.blocked_on
              FROM level
        CROSS JOIN json_each((
                   SELECT json_group_array(id)
                     FROM (SELECT id
                             FROM jobqueue_run
                            WHERE namespace = %(namespace)s
                              AND queue = %(queue)s
                              AND state = 'pending'
                              AND blocked_on IS NULL
                              AND priority = level.priority
                              AND run_at <= %(now)s
                              AND (expires_at IS NULL OR expires_at > %(now)s)
                              AND ('job:' || job IN (SELECT label FROM held)) IS NOT TRUE
                              AND ('key:/' || concurrency_key IN (SELECT label FROM held)) IS NOT TRUE
                              AND ('key:' || job || '/' || concurrency_key IN (SELECT label FROM held)) IS NOT TRUE
                              AND ('rate:/' || rate_key IN (SELECT label FROM held)) IS NOT TRUE
                              AND ('rate:' || job || '/' || rate_key IN (SELECT label FROM held)) IS NOT TRUE
                         ORDER BY run_at, id
                            LIMIT %(limit)s))) AS due
        CROSS JOIN jobqueue_run AS run
             WHERE level.priority IS NOT NULL
               AND run.id = due.value
             LIMIT %(limit)s
    """

    def candidates(
        self,
        namespace: str,
        queue: str,
        *,
        limit: int,
        held: Collection[Limit] = (),
        bounds: Bounds | None = None,
    ) -> list[Candidate]:
        parameters = {
            "namespace": namespace,
            "queue": queue,
            "limit": limit,
            "held": self.document(passed_over(held)),
            "now": self._text(self.now()),
        }
        return self._found(self.CANDIDATES, parameters)

    FRONT = """
            SELECT run.id, run.priority, run.run_at, run.job, run.concurrency_key, run.rate_key, run.blocked_on
              FROM json_each(%(lines)s) AS line
        CROSS JOIN json_each((
                   SELECT json_group_array(id)
                     FROM (SELECT id
                             FROM jobqueue_run
                            WHERE namespace = %(namespace)s
                              AND queue = %(queue)s
                              AND state = 'pending'
                              AND blocked_on = line.value
                              AND (expires_at IS NULL OR expires_at > %(now)s)
                         ORDER BY priority DESC, run_at, id
                            LIMIT %(number)s))) AS first
        CROSS JOIN jobqueue_run AS run
             WHERE run.id = first.value
    """

    def front(self, namespace: str, queue: str, lines: Mapping[Limit, int]) -> list[Candidate]:
        place = {"namespace": namespace, "queue": queue, "now": self._text(self.now())}
        found: list[Candidate] = []
        for number in set(lines.values()):
            document = self.document(str(line) for line in lines if lines[line] == number)
            found += self._found(self.FRONT, place | {"lines": document, "number": number})
        return found

    HEADS = """
        WITH own (job) AS (
            SELECT value
              FROM json_each(%(own_keys)s)
        ), wanted (job, value) AS (
            SELECT json_extract(value, '$.job'), json_extract(value, '$.value')
              FROM json_each(%(keys)s)
        )
        SELECT wanted.job, wanted.value,
               (SELECT run.id
                  FROM jobqueue_run AS run
                 WHERE run.namespace = %(namespace)s
                   AND run.queue = %(queue)s
                   AND run.concurrency_key = wanted.value
                   AND run.state IN ('pending', 'running')
                   AND CASE wanted.job WHEN '' THEN run.job NOT IN (SELECT job FROM own) ELSE run.job = wanted.job END
              ORDER BY run.id
                 LIMIT 1)
          FROM wanted
    """

    def heads(self, namespace: str, queue: str, keys: Iterable[Limit], own_keys: Sequence[str]) -> dict[Limit, int]:
        parameters = {
            "namespace": namespace,
            "queue": queue,
            "keys": self.document({"job": key.job, "value": key.key} for key in keys),
            "own_keys": self.document(own_keys),
        }
        rows = self.fetch(self.HEADS, parameters)
        return {Limit("key", job, key): run_id for job, key, run_id in rows if run_id is not None}

    PARKED = """
        SELECT id, priority, run_at, job, concurrency_key, rate_key, blocked_on
          FROM jobqueue_run
         WHERE id IN (SELECT value FROM json_each(%(ids)s))
           AND state = 'pending'
           AND blocked_on IS NOT NULL
           AND (expires_at IS NULL OR expires_at > %(now)s)
    """

    def parked(self, ids: Iterable[int]) -> list[Candidate]:
        return self._found(self.PARKED, {"ids": self.document(ids), "now": self._text(self.now())})

    PLACE = """
        UPDATE jobqueue_run
           SET blocked_on = place.blocked_on,
               run_at = COALESCE(place.run_at, jobqueue_run.run_at)
          FROM (SELECT json_extract(value, '$.id') AS id,
                       json_extract(value, '$.blocked_on') AS blocked_on,
                       json_extract(value, '$.run_at') AS run_at
                  FROM json_each(%(placings)s)) AS place
         WHERE jobqueue_run.id = place.id
           AND jobqueue_run.state = 'pending'
    """

    def place(self, placings: Iterable[Placing]) -> None:
        document = self.document(placing._asdict() for placing in placings)
        self.fetch(self.PLACE, {"placings": document})

    LINES = """
        WITH RECURSIVE line (queue, blocked_on) AS (
            SELECT json_extract(value, '$.queue'),
                   (SELECT min(first.blocked_on)
                      FROM jobqueue_run AS first
                     WHERE first.namespace = %(namespace)s
                       AND first.queue = json_extract(value, '$.queue')
                       AND first.state = 'pending'
                       AND first.blocked_on > json_extract(value, '$.after'))
              FROM json_each(%(queues)s)
         UNION ALL
            SELECT line.queue,
                   (SELECT min(next.blocked_on)
                      FROM jobqueue_run AS next
                     WHERE next.namespace = %(namespace)s
                       AND next.queue = line.queue
                       AND next.state = 'pending'
                       AND next.blocked_on > line.blocked_on)
              FROM line
             WHERE line.blocked_on IS NOT NULL
        )
        SELECT queue, blocked_on
          FROM line
         WHERE blocked_on IS NOT NULL
         LIMIT %(limit)s
    """

    def lines(self, namespace: str, queues: Mapping[str, str], *, limit: int) -> list[tuple[str, str]]:
        document = self.document({"queue": queue, "after": after} for queue, after in queues.items())
        rows = self.fetch(self.LINES, {"namespace": namespace, "queues": document, "limit": limit})
        return [(queue, line) for queue, line in rows]

    def _text(self, moment: datetime) -> str:
        return self.timestamps()(moment)

    def _found(self, sql: str, parameters: dict[str, Any]) -> list[Candidate]:
        zone = self.connection.timezone
        return [
            Candidate(run_id, priority, run_at.replace(tzinfo=zone), *rest)
            for run_id, priority, run_at, *rest in self.fetch(sql, parameters)
        ]
