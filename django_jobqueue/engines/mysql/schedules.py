"""MySQL: schedules."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django_jobqueue.engines.base import Advance, Due, Schedules
from django_jobqueue.engines.mysql.database import MySQLDatabase


class MySQLSchedules(MySQLDatabase, Schedules):
    """Passes over schedules that others have locked."""

    DUE_SCHEDULES = """
          SELECT id,
                 overlap <> 'allow' AND EXISTS (
                     SELECT 1 FROM jobqueue_run WHERE schedule_id = schedule.id AND state IN ('pending', 'running'))
            FROM jobqueue_schedule AS schedule FORCE INDEX (jobqueue_schedule_due)
           WHERE namespace = %(namespace)s
             AND enabled = 1
             AND next_run_at <= %(now)s
             AND id NOT IN (SELECT id FROM JSON_TABLE(%(but)s, '$[*]' COLUMNS (id BIGINT PATH '$')) AS but)
             AND NOT (overlap = 'queue' AND EXISTS (
                     SELECT 1 FROM jobqueue_run WHERE schedule_id = schedule.id AND state IN ('pending', 'running')))
        ORDER BY next_run_at
           LIMIT %(limit)s
             FOR UPDATE
            SKIP LOCKED
    """

    def due_schedules(self, namespace: str, *, now: datetime, limit: int, but: Sequence[int] = ()) -> list[Due]:
        parameters = {
            "namespace": namespace,
            "now": self.timestamps()(now),
            "limit": limit,
            "but": self.document(but),
        }
        return [Due(schedule_id, bool(live)) for schedule_id, live in self.fetch(self.DUE_SCHEDULES, parameters)]

    ADVANCE_SCHEDULES = """
               UPDATE JSON_TABLE(%(advances)s, '$[*]' COLUMNS (
                      id BIGINT PATH '$.id',
                      next_run_at DATETIME(6) PATH '$.next_run_at',
                      accounted_until DATETIME(6) PATH '$.accounted_until',
                      last_run_at DATETIME(6) PATH '$.last_run_at',
                      last_run BIGINT PATH '$.last_run',
                      skipped_since DATETIME(6) PATH '$.skipped_since',
                      skip_reason VARCHAR(16) PATH '$.skip_reason',
                      skipped INT PATH '$.skipped')) AS turn
        STRAIGHT_JOIN jobqueue_schedule AS schedule FORCE INDEX (PRIMARY)
                   ON schedule.id = turn.id
                  SET schedule.next_run_at = turn.next_run_at,
                      schedule.accounted_until = turn.accounted_until,
                      schedule.last_run_at = turn.last_run_at,
                      schedule.last_run_id = turn.last_run,
                      schedule.skipped_since = turn.skipped_since,
                      schedule.skip_reason = turn.skip_reason,
                      schedule.skipped = turn.skipped
    """

    def advance_schedules(self, advances: Sequence[Advance]) -> None:
        self.fetch(self.ADVANCE_SCHEDULES, {"advances": self.document(advance._asdict() for advance in advances)})
