"""MySQL: the statements of limits."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from django_jobqueue.engines.base import Bounds, Locking, Placing, passed_over
from django_jobqueue.engines.mysql.database import NOW
from django_jobqueue.engines.mysql.walking import MySQLWalking
from django_jobqueue.limits import Candidate, Limit


class MySQLLines(MySQLWalking, Locking):
    """Locks queues by the rows of their states, and passes over runs that are locked by others."""

    LOCK = """
               SELECT state.queue
                 FROM (SELECT * FROM JSON_TABLE(%(queues)s, '$[*]' COLUMNS (queue VARCHAR(100) PATH '$')) AS listed) AS wanted
        STRAIGHT_JOIN jobqueue_queue_state AS state FORCE INDEX (jobqueue_queue_state_name)
                   ON state.queue = wanted.queue
                WHERE state.namespace = %(namespace)s
                  AND state.job = ''
                  FOR UPDATE
    """

    # Whoever comes second, waits for the first, and gets the lock from it: an IGNORE would share it with a third.
    LOCK_NEW = """
        INSERT INTO jobqueue_queue_state (namespace, queue, job)
             SELECT %(namespace)s, wanted.queue, ''
               FROM JSON_TABLE(%(queues)s, '$[*]' COLUMNS (queue VARCHAR(100) PATH '$')) AS wanted
                 ON DUPLICATE KEY UPDATE job = ''
    """

    def wait_for_lock(self, namespace: str, queues: Collection[str]) -> None:
        wanted = sorted(set(queues))
        rows = self.fetch(self.LOCK, {"namespace": namespace, "queues": self.document(wanted)})
        locked = {queue for [queue] in rows}
        if new := [queue for queue in wanted if queue not in locked]:
            self.fetch(self.LOCK_NEW, {"namespace": namespace, "queues": self.document(new)})

    COUNT_RUNNING = """
        SELECT queue, job, concurrency_key, count(*)
          FROM jobqueue_run
         WHERE namespace = %(namespace)s
           AND queue IN (SELECT name FROM JSON_TABLE(%(queues)s, '$[*]' COLUMNS (name VARCHAR(100) PATH '$')) AS wanted)
           AND state = 'running'
      GROUP BY queue, job, concurrency_key
    """

    CANDIDATES = f"""
          SELECT id, priority, run_at, job, concurrency_key, rate_key, blocked_on
            FROM jobqueue_run FORCE INDEX (jobqueue_run_claim)
           WHERE namespace = %(namespace)s
             AND queue = %(queue)s
             AND state = 'pending'
             AND blocked_on <=> %(line)s
             AND priority = %(priority)s
             AND run_at <= {NOW}
             AND (expires_at IS NULL OR expires_at > {NOW})
             AND NOT EXISTS (
                 SELECT 1
                   FROM JSON_TABLE(%(held)s, '$[*]' COLUMNS (label VARCHAR(500) PATH '$')) AS held
                  WHERE label IN (
                        CONCAT('job:', job),
                        CONCAT('key:/', concurrency_key),
                        CONCAT('key:', job, '/', concurrency_key),
                        CONCAT('rate:/', rate_key),
                        CONCAT('rate:', job, '/', rate_key)))
        ORDER BY run_at, id
           LIMIT %(limit)s
             FOR UPDATE
            SKIP LOCKED
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
        return self._found(
            self.walk(self.CANDIDATES, namespace, queue, limit=limit, held=self.document(passed_over(held)))
        )

    FRONT = f"""
          SELECT id, priority, run_at, job, concurrency_key, rate_key, blocked_on
            FROM jobqueue_run FORCE INDEX (jobqueue_run_claim)
           WHERE namespace = %(namespace)s
             AND queue = %(queue)s
             AND state = 'pending'
             AND blocked_on <=> %(line)s
             AND priority = %(priority)s
             AND (expires_at IS NULL OR expires_at > {NOW})
        ORDER BY run_at, id
           LIMIT %(limit)s
             FOR UPDATE
            SKIP LOCKED
    """

    def front(self, namespace: str, queue: str, lines: Mapping[Limit, int]) -> list[Candidate]:
        found: list[Candidate] = []
        for line, number in lines.items():
            found += self._found(self.walk(self.FRONT, namespace, queue, str(line), limit=number))
        return found

    # One after the other state, because only within one of them the index has the runs of a key in their order. MariaDB
    # remembers what it found for a key, and would answer so for one in other letters, too: the number tells them apart.
    HEADS = """
        WITH own (job) AS (
            SELECT job
              FROM JSON_TABLE(%(own_keys)s, '$[*]' COLUMNS (job VARCHAR(200) PATH '$')) AS own
        )
            SELECT wanted.job, wanted.value, head.state,
                   (SELECT run.id
                      FROM jobqueue_run AS run FORCE INDEX (jobqueue_run_key)
                     WHERE run.namespace = %(namespace)s
                       AND run.queue = %(queue)s
                       AND run.concurrency_key = wanted.value
                       AND wanted.number > 0
                       AND run.state = head.state
                       AND CASE wanted.job WHEN '' THEN run.job NOT IN (SELECT job FROM own) ELSE run.job = wanted.job END
                  ORDER BY run.id
                     LIMIT 1)
              FROM JSON_TABLE(%(keys)s, '$[*]' COLUMNS (
                   number FOR ORDINALITY,
                   job VARCHAR(200) PATH '$.job',
                   value VARCHAR(255) PATH '$.value')) AS wanted
        CROSS JOIN (SELECT 'pending' AS state UNION ALL SELECT 'running') AS head
    """

    def heads(self, namespace: str, queue: str, keys: Iterable[Limit], own_keys: Sequence[str]) -> dict[Limit, int]:
        parameters = {
            "namespace": namespace,
            "queue": queue,
            "keys": self.document({"job": key.job, "value": key.key} for key in keys),
            "own_keys": self.document(own_keys),
        }
        heads: dict[Limit, int] = {}
        for job, key, _, run_id in self.fetch(self.HEADS, parameters):
            if run_id is not None:
                limit = Limit("key", job, key)
                heads[limit] = min(run_id, heads.get(limit, run_id))
        return heads

    PARKED = f"""
               SELECT run.id, run.priority, run.run_at, run.job, run.concurrency_key, run.rate_key, run.blocked_on
                 FROM (SELECT * FROM JSON_TABLE(%(ids)s, '$[*]' COLUMNS (id BIGINT PATH '$')) AS listed) AS wanted
        STRAIGHT_JOIN jobqueue_run AS run FORCE INDEX (PRIMARY)
                   ON run.id = wanted.id
                WHERE run.state = 'pending'
                  AND run.blocked_on IS NOT NULL
                  AND (run.expires_at IS NULL OR run.expires_at > {NOW})
                  FOR UPDATE
                 SKIP LOCKED
    """

    def parked(self, ids: Iterable[int]) -> list[Candidate]:
        return self._found(self.fetch(self.PARKED, {"ids": self.document(ids)}))

    PLACE = """
               UPDATE JSON_TABLE(%(placings)s, '$[*]' COLUMNS (
                      id BIGINT PATH '$.id',
                      blocked_on VARCHAR(500) PATH '$.blocked_on',
                      run_at DATETIME(6) PATH '$.run_at')) AS place
        STRAIGHT_JOIN jobqueue_run AS run FORCE INDEX (PRIMARY)
                   ON run.id = place.id
                  SET run.blocked_on = place.blocked_on,
                      run.run_at = COALESCE(place.run_at, run.run_at)
                WHERE run.state = 'pending'
    """

    def place(self, placings: Iterable[Placing]) -> None:
        document = self.document(placing._asdict() for placing in placings)
        self.fetch(self.PLACE, {"placings": document})

    NEXT_LINE = """
          SELECT blocked_on
            FROM jobqueue_run FORCE INDEX (jobqueue_run_claim)
           WHERE namespace = %(namespace)s
             AND queue = %(queue)s
             AND state = 'pending'
             AND blocked_on > %(after)s
        ORDER BY blocked_on
           LIMIT 1
    """

    def lines(self, namespace: str, queues: Mapping[str, str], *, limit: int) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        rest = dict(queues)
        while rest:
            for queue, after in list(rest.items()):
                rows = self.fetch(self.NEXT_LINE, {"namespace": namespace, "queue": queue, "after": after})
                if not rows:
                    del rest[queue]
                    continue
                [[rest[queue]]] = rows
                found.append((queue, rest[queue]))
                if len(found) == limit:
                    return found
        return found

    def _found(self, rows: Iterable[tuple[Any, ...]]) -> list[Candidate]:
        return [Candidate(run_id, priority, self.aware(run_at), *rest) for run_id, priority, run_at, *rest in rows]
