"""SQLite: runs that go."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction

from django_jobqueue.engines.base import Deleting, Ref
from django_jobqueue.engines.sqlite.database import SQLiteDatabase


class SQLiteDeleting(SQLiteDatabase, Deleting):
    """Deletes runs, then their attempts."""

    DELETE = """
        DELETE FROM jobqueue_run
              WHERE id IN (SELECT json_extract(value, '$.id') FROM json_each(%(refs)s))
                AND (id, attempt) IN (
                    SELECT json_extract(value, '$.id'), json_extract(value, '$.attempt') FROM json_each(%(refs)s))
                AND lease_until IS NOT NULL
          RETURNING id, attempt
    """

    PURGE = """
        DELETE FROM jobqueue_run
              WHERE id IN (SELECT value FROM json_each(%(ids)s))
                AND finished_at IS NOT NULL
          RETURNING id
    """

    FORGET = """
        DELETE FROM jobqueue_attempt
              WHERE run_id IN (SELECT value FROM json_each(%(runs)s))
    """

    def _delete(self, refs: Sequence[Ref]) -> set[Ref]:
        with transaction.atomic(using=self.alias, savepoint=False):
            document = self.document(ref._asdict() for ref in refs)
            deleted = {Ref(*row) for row in self.fetch(self.DELETE, {"refs": document})}
            self.fetch(self.FORGET, {"runs": self.document(ref.id for ref in deleted)})
        return deleted

    def purge(self, ids: Sequence[int]) -> list[int]:
        with transaction.atomic(using=self.alias, savepoint=False):
            purged = [run_id for [run_id] in self.fetch(self.PURGE, {"ids": self.document(ids)})]
            self.fetch(self.FORGET, {"runs": self.document(purged)})
        return purged
