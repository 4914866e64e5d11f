"""SQLite: schedules that are due."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django_jobqueue.engines.base import Advance, Due, Schedules
from django_jobqueue.engines.sqlite.database import SQLiteDatabase


class SQLiteSchedules(SQLiteDatabase, Schedules):
    """Writes before it reads, so that nobody writes in between."""

    # It writes nothing, but from here on nobody else can write.
    BEGIN_TO_WRITE = """
           UPDATE jobqueue_schedule
              SET namespace = namespace
            WHERE id = 0
        RETURNING id
    """

    # The condition of the index is written as "enabled" by Django 5.2, and as "enabled = 1" by 6.1; SQLite uses an index
    # only for a statement that says the same.
    DUE_SCHEDULES = """
        SELECT id,
               overlap <> 'allow' AND EXISTS (
                   SELECT 1 FROM jobqueue_run WHERE schedule_id = schedule.id AND state IN ('pending', 'running'))
          FROM jobqueue_schedule AS schedule
         WHERE namespace = %(namespace)s
           AND enabled
           AND enabled = 1
           AND next_run_at <= %(now)s
           AND id NOT IN (SELECT value FROM json_each(%(but)s))
           AND NOT (overlap = 'queue' AND EXISTS (
                   SELECT 1 FROM jobqueue_run WHERE schedule_id = schedule.id AND state IN ('pending', 'running')))
      ORDER BY next_run_at
         LIMIT %(limit)s
    """

    def due_schedules(self, namespace: str, *, now: datetime, limit: int, but: Sequence[int] = ()) -> list[Due]:
        self.fetch(self.BEGIN_TO_WRITE, {})
        parameters = {
            "namespace": namespace,
            "now": self.timestamps()(now),
            "limit": limit,
            "but": self.document(but),
        }
        return [Due(schedule_id, bool(live)) for schedule_id, live in self.fetch(self.DUE_SCHEDULES, parameters)]

    ADVANCE_SCHEDULES = """
           UPDATE jobqueue_schedule
              SET next_run_at = turn.next_run_at,
                  accounted_until = turn.accounted_until,
                  last_run_at = turn.last_run_at,
                  last_run_id = turn.last_run,
                  skipped_since = turn.skipped_since,
                  skip_reason = turn.skip_reason,
                  skipped = turn.skipped
             FROM (SELECT json_extract(value, '$.id') AS id,
                          json_extract(value, '$.next_run_at') AS next_run_at,
                          json_extract(value, '$.accounted_until') AS accounted_until,
                          json_extract(value, '$.last_run_at') AS last_run_at,
                          json_extract(value, '$.last_run') AS last_run,
                          json_extract(value, '$.skipped_since') AS skipped_since,
                          json_extract(value, '$.skip_reason') AS skip_reason,
                          json_extract(value, '$.skipped') AS skipped
                     FROM json_each(%(advances)s)) AS turn
            WHERE jobqueue_schedule.id = turn.id
        RETURNING id
    """

    def advance_schedules(self, advances: Sequence[Advance]) -> None:
        self.fetch(self.ADVANCE_SCHEDULES, {"advances": self.document(advance._asdict() for advance in advances)})
