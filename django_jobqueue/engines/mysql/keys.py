"""MySQL: the keys under which runs are asked for."""

from __future__ import annotations

from collections.abc import Sequence

from django_jobqueue.engines.base import Inserting, KeptKey
from django_jobqueue.engines.mysql.database import NOW, microseconds
from django_jobqueue.engines.mysql.guarding import MySQLGuarding, Row
from django_jobqueue.models.now import ahead_of_utc


class MySQLKeys(MySQLGuarding, Inserting):
    """Keeps keys that nobody keeps, or whose time is over."""

    KEPT = f"""
               SELECT kept.key_hash, kept.id, kept.expires_at > {NOW}
                 FROM JSON_TABLE(%(keys)s, '$[*]' COLUMNS (key_hash VARCHAR(64) PATH '$')) AS wanted
        STRAIGHT_JOIN jobqueue_idempotency_key AS kept FORCE INDEX (jobqueue_idempotency_key_hash)
                   ON kept.key_hash = wanted.key_hash
                WHERE kept.namespace = %(namespace)s
    """

    FORGET_KEYS = f"""
               DELETE kept
                 FROM JSON_TABLE(%(ids)s, '$[*]' COLUMNS (id BIGINT PATH '$')) AS expired
        STRAIGHT_JOIN jobqueue_idempotency_key AS kept FORCE INDEX (PRIMARY)
                   ON kept.id = expired.id
                WHERE kept.expires_at <= {NOW}
    """

    KEEP = """
        INSERT IGNORE INTO jobqueue_idempotency_key (namespace, key_hash, arguments_hash, run_id, expires_at)
        VALUES
    """

    KEY = """
        (%s, %s, %s, %s, UTC_TIMESTAMP(6) + INTERVAL %s SECOND + INTERVAL %s MICROSECOND)
    """

    RETURNING_KEY = """
     RETURNING key_hash
    """

    def keep_keys(self, namespace: str, keys: Sequence[KeptKey], *, seconds: float) -> set[str]:
        ahead, length = ahead_of_utc(self.connection), microseconds(seconds)
        wanted = {"namespace": namespace, "keys": self.document(key.key_hash for key in keys)}

        def keep() -> set[str]:
            with self.guarded(key.key_hash for key in keys):
                rows = self.fetch(self.KEPT, wanted)
                kept = {key_hash for key_hash, _, still_kept in rows if still_kept}
                if expired := [row_id for _, row_id, still_kept in rows if not still_kept]:
                    self.fetch(self.FORGET_KEYS, {"ids": self.document(expired)})
                free = [(namespace, *key, ahead, length) for key in keys if key.key_hash not in kept]
                return self._keep_free(free) if free else set()

        return self.together(keep)

    def _keep_free(self, values: Sequence[Row]) -> set[str]:
        if self.connection.features.can_return_rows_from_bulk_insert:
            return {key for [key] in self.insert_rows(self.KEEP, self.KEY, self.RETURNING_KEY, values)}
        return {row[1] for row in values if self.insert_one(self.KEEP, self.KEY, row) is not None}
