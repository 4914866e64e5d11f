"""PostgreSQL: schedules that are due."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django_jobqueue.engines.base import Advance, Due, Schedules
from django_jobqueue.engines.postgresql.database import PostgreSQLDatabase


class PostgreSQLSchedules(PostgreSQLDatabase, Schedules):
    """Locks due schedules, and passes over those that others have locked."""

    DUE_SCHEDULES = """
        SELECT id,
               overlap <> 'allow' AND EXISTS (
                   SELECT FROM jobqueue_run WHERE schedule_id = schedule.id AND state IN ('pending', 'running'))
          FROM jobqueue_schedule AS schedule
         WHERE namespace = %(namespace)s
           AND enabled
           AND next_run_at <= %(now)s
           AND id <> ALL(ARRAY(SELECT json_array_elements_text(%(but)s::json)::bigint))
           AND NOT (overlap = 'queue' AND EXISTS (
                   SELECT FROM jobqueue_run WHERE schedule_id = schedule.id AND state IN ('pending', 'running')))
      ORDER BY next_run_at
         LIMIT %(limit)s
           FOR NO KEY UPDATE SKIP LOCKED
    """

    def due_schedules(self, namespace: str, *, now: datetime, limit: int, but: Sequence[int] = ()) -> list[Due]:
        parameters = {"namespace": namespace, "now": now, "limit": limit, "but": self.document(but)}
        return [Due(*row) for row in self.fetch(self.DUE_SCHEDULES, parameters)]

    ADVANCE_SCHEDULES = """
           UPDATE jobqueue_schedule AS schedule
              SET next_run_at = turn.next_run_at,
                  accounted_until = turn.accounted_until,
                  last_run_at = turn.last_run_at,
                  last_run_id = turn.last_run,
                  skipped_since = turn.skipped_since,
                  skip_reason = turn.skip_reason,
                  skipped = turn.skipped
             FROM json_to_recordset(%(advances)s::json) AS turn(
                  id bigint, next_run_at timestamptz, accounted_until timestamptz, last_run_at timestamptz,
                  last_run bigint, skipped_since timestamptz, skip_reason text, skipped int)
            WHERE schedule.id = turn.id
        RETURNING schedule.id
    """

    def advance_schedules(self, advances: Sequence[Advance]) -> None:
        self.fetch(self.ADVANCE_SCHEDULES, {"advances": self.document(advance._asdict() for advance in advances)})
