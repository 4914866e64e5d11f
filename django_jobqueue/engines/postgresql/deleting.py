"""PostgreSQL: runs that go."""

from __future__ import annotations

from collections.abc import Sequence

from django_jobqueue.engines.base import Deleting, Ref, in_lock_order
from django_jobqueue.engines.postgresql.database import PostgreSQLDatabase


class PostgreSQLDeleting(PostgreSQLDatabase, Deleting):
    """Deletes runs and their attempts in one statement."""

    DELETE = """
        WITH ref AS (
            SELECT *
              FROM json_to_recordset(%(refs)s::json) AS ref(id bigint, attempt int)
        ), deleted AS (
            DELETE FROM jobqueue_run AS run
                  USING ref
                  WHERE run.id = ANY(ARRAY(SELECT id FROM ref))
                    AND run.id = ref.id
                    AND run.attempt = ref.attempt
                    AND run.lease_until IS NOT NULL
              RETURNING run.id, run.attempt
        ), history AS (
            DELETE FROM jobqueue_attempt
                  WHERE run_id = ANY(ARRAY(SELECT id FROM deleted))
        )
        SELECT id, attempt FROM deleted
    """

    def _delete(self, refs: Sequence[Ref]) -> set[Ref]:
        document = self.document(ref._asdict() for ref in in_lock_order(refs))
        return {Ref(*row) for row in self.fetch(self.DELETE, {"refs": document})}

    PURGE = """
        WITH ended AS (
            SELECT id
              FROM jobqueue_run
             WHERE id = ANY(ARRAY(SELECT value::bigint FROM json_array_elements_text(%(ids)s::json)))
               AND finished_at IS NOT NULL
               FOR UPDATE SKIP LOCKED
        ), purged AS (
            DELETE FROM jobqueue_run
                  WHERE id = ANY(ARRAY(SELECT id FROM ended))
              RETURNING id
        ), history AS (
            DELETE FROM jobqueue_attempt
                  WHERE run_id = ANY(ARRAY(SELECT id FROM purged))
        )
        SELECT id FROM purged
    """

    def purge(self, ids: Sequence[int]) -> list[int]:
        return [run_id for [run_id] in self.fetch(self.PURGE, {"ids": self.document(ids)})]
