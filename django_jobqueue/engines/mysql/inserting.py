"""MySQL: new runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from itertools import chain

from django_jobqueue.engines.base import Inserted, Inserting, NewRun, matched
from django_jobqueue.engines.mysql.database import microseconds, packets
from django_jobqueue.engines.mysql.guarding import MySQLGuarding, Row
from django_jobqueue.models.now import ahead_of_utc


class MySQLInserting(MySQLGuarding, Inserting):
    """Inserts a batch as VALUES: what is inserted FROM a document locks the counter of the ids, and all who insert.

    MariaDB returns what it has inserted. MySQL does not, and can be asked only for what it has surely inserted: there,
    runs that may be duplicates go one by one.
    """

    NEW = """
        INTO jobqueue_run (
             namespace, queue, job, version, payload, state, priority, run_at, expires_at, created_at,
             attempt, failures, crashes, snoozes, releases, max_attempts, timeout_seconds, delivery,
             concurrency_key, rate_key, unique_key, unique_lock, tags, tenant, user_id, trace_id, metadata,
             replay_of_id, schedule_id, fires_at, missed)
        VALUES
    """

    # The parameters of the clock tell how far the columns are ahead of UTC.
    RUN = """
        (%s, %s, %s, %s, %s, 'pending', %s,
         COALESCE(%s, UTC_TIMESTAMP(6) + INTERVAL %s SECOND) + INTERVAL %s MICROSECOND,
         COALESCE(%s, COALESCE(%s, UTC_TIMESTAMP(6) + INTERVAL %s SECOND) + INTERVAL %s MICROSECOND),
         UTC_TIMESTAMP(6) + INTERVAL %s SECOND,
         0, 0, 0, 0, 0, %s, %s, %s,
         %s, %s, %s, %s, %s, %s, %s, %s, %s,
         %s, %s, %s, %s)
    """

    RETURNING = """
   RETURNING id, run_at, created_at, expires_at, unique_lock
    """

    INSERT = f"INSERT {NEW}"

    # Of all that IGNORE lets pass, only a lock that is held can come: the rest is checked before.
    INSERT_UNIQUE = f"INSERT IGNORE {NEW}"

    # What MySQL has in place of RETURNING. The ids of one statement are numbered through.
    NUMBERED = """
          SELECT id, run_at, created_at, expires_at, unique_lock
            FROM jobqueue_run
           WHERE id BETWEEN %(first)s AND %(first)s + (%(number)s - 1) * @@auto_increment_increment
             AND (id - %(first)s) %% @@auto_increment_increment = 0
    """

    def insert(self, namespace: str, runs: Sequence[NewRun]) -> list[Inserted]:
        if not runs:
            return []
        values = self._values(namespace, runs)
        if not self.connection.features.can_return_rows_from_bulk_insert:
            rows = self.together(lambda: self._insert_numbered(values))
        elif len(values) == 1:
            rows = self.insert_rows(self.INSERT, self.RUN, self.RETURNING, values)
        else:
            rows = self.together(lambda: self.insert_rows(self.INSERT, self.RUN, self.RETURNING, values))
        return [row for row, _ in self._inserted(rows)]

    def _insert_numbered(self, values: Sequence[Row]) -> list[Row]:
        rows: list[Row] = []
        for packet in packets(values, tuple):
            with self.connection.cursor() as cursor:
                cursor.execute(self.INSERT + ",".join([self.RUN] * len(packet)), list(chain.from_iterable(packet)))
                first = cursor.lastrowid
            rows += self.fetch(self.NUMBERED, {"first": first, "number": len(packet)})
        return rows

    def alone(self, locks: Collection[str]) -> AbstractContextManager[None]:
        return self.guarded(locks)

    HELD = """
               SELECT run.unique_lock
                 FROM JSON_TABLE(%(locks)s, '$[*]' COLUMNS (unique_lock VARCHAR(64) PATH '$')) AS wanted
        STRAIGHT_JOIN jobqueue_run AS run FORCE INDEX (jobqueue_run_unique)
                   ON run.unique_lock = wanted.unique_lock
                WHERE run.namespace = %(namespace)s
    """

    def insert_unique(self, namespace: str, runs: Sequence[NewRun]) -> list[Inserted | None]:
        locks = {run.unique_lock for run in runs if run.unique_lock is not None}
        if not locks:
            return [*self.insert(namespace, runs)]

        def insert() -> list[Row]:
            with self.alone(locks):
                place = {"namespace": namespace, "locks": self.document(locks)}
                held = {lock for [lock] in self.fetch(self.HELD, place)}
                free = [run for run in runs if run.unique_lock not in held]
                return self._insert_free(self._values(namespace, free)) if free else []

        return matched(runs, self._inserted(self.together(insert)))

    INSERTED = """
               SELECT run.id, run.run_at, run.created_at, run.expires_at, run.unique_lock
                 FROM JSON_TABLE(%(ids)s, '$[*]' COLUMNS (id BIGINT PATH '$')) AS new
        STRAIGHT_JOIN jobqueue_run AS run FORCE INDEX (PRIMARY)
                   ON run.id = new.id
    """

    def _insert_free(self, values: Sequence[Row]) -> list[Row]:
        if self.connection.features.can_return_rows_from_bulk_insert:
            return self.insert_rows(self.INSERT_UNIQUE, self.RUN, self.RETURNING, values)
        ids = [self.insert_one(self.INSERT_UNIQUE, self.RUN, row) for row in values]
        return self.fetch(self.INSERTED, {"ids": self.document(run_id for run_id in ids if run_id is not None)})

    def _inserted(self, rows: Iterable[Row]) -> list[tuple[Inserted, str | None]]:
        """The rows of new runs in the order of their ids, each with its lock."""
        return sorted(
            (Inserted(run_id, self.aware(run_at), self.aware(created_at), expires_at and self.aware(expires_at)), lock)
            for run_id, run_at, created_at, expires_at, lock in rows
        )

    def _values(self, namespace: str, runs: Sequence[NewRun]) -> list[Row]:
        text, ahead = self.timestamps(), ahead_of_utc(self.connection)
        return [(namespace, *_values(run, text, ahead)) for run in runs]


def _values(run: NewRun, text: Callable[[datetime], str], ahead: int) -> Row:
    """The parameters of one row."""
    run_at = run.run_at and text(run.run_at)
    delay = microseconds(run.delay_seconds)
    after = None if run.expires_after_seconds is None else delay + microseconds(run.expires_after_seconds)
    return (
        *(run.queue, run.job, run.version, run.payload_text, run.priority, run_at, ahead, delay),
        *(run.expires_at and text(run.expires_at), run_at, ahead, after),
        *(ahead, run.max_attempts, run.timeout_seconds, run.delivery.value),
        *(run.concurrency_key, run.rate_key, run.unique_key, run.unique_lock),
        *(None if run.tags is None else json.dumps(run.tags), run.tenant, run.user, run.trace_id, run.metadata_text),
        *(run.replay_of, run.schedule, run.fires_at and text(run.fires_at), run.missed),
    )
