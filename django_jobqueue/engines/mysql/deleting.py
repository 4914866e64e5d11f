"""MySQL: runs that go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django_jobqueue.engines.base import Deleting, Ref
from django_jobqueue.engines.mysql.holding import MySQLHolding


class MySQLDeleting(MySQLHolding, Deleting):
    """Deletes runs, then their attempts."""

    DELETE = """
               DELETE run
                 FROM JSON_TABLE(%(ids)s, '$[*]' COLUMNS (id BIGINT PATH '$')) AS gone
        STRAIGHT_JOIN jobqueue_run AS run FORCE INDEX (PRIMARY)
                   ON run.id = gone.id
    """

    FORGET = """
               DELETE attempt
                 FROM JSON_TABLE(%(ids)s, '$[*]' COLUMNS (id BIGINT PATH '$')) AS gone
        STRAIGHT_JOIN jobqueue_attempt AS attempt FORCE INDEX (PRIMARY)
                   ON attempt.run_id = gone.id
    """

    ENDED = """
               SELECT run.id
                 FROM (SELECT * FROM JSON_TABLE(%(ids)s, '$[*]' COLUMNS (id BIGINT PATH '$')) AS listed) AS wanted
        STRAIGHT_JOIN jobqueue_run AS run FORCE INDEX (PRIMARY)
                   ON run.id = wanted.id
                WHERE run.finished_at IS NOT NULL
                  FOR UPDATE
                 SKIP LOCKED
    """

    def _delete(self, refs: Sequence[Ref]) -> set[Ref]:
        def delete() -> set[Ref]:
            held = set(self.hold(refs))
            self._delete_all(ref.id for ref in held)
            return held

        return self.together(delete)

    def purge(self, ids: Sequence[int]) -> list[int]:
        def purge() -> list[int]:
            ended = [run_id for [run_id] in self.fetch(self.ENDED, {"ids": self.document(sorted(ids))})]
            self._delete_all(ended)
            return ended

        return self.together(purge)

    def _delete_all(self, ids: Iterable[int]) -> None:
        document = self.document(sorted(ids))
        self.fetch(self.DELETE, {"ids": document})
        self.fetch(self.FORGET, {"ids": document})
