"""SQLite: new runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from django_jobqueue.engines.base import Inserted, Inserting, KeptKey, NewRun, matched
from django_jobqueue.engines.sqlite.database import SQLiteDatabase


class SQLiteInserting(SQLiteDatabase, Inserting):
    """Inserts a batch at once."""

    NEW = """
        INSERT INTO jobqueue_run (
               namespace, queue, job, version, payload, state, priority, run_at, expires_at, created_at,
               attempt, failures, crashes, snoozes, releases, max_attempts, timeout_seconds, delivery,
               concurrency_key, rate_key, unique_key, unique_lock, tags, tenant, user_id, trace_id, metadata, replay_of_id,
               schedule_id, fires_at, missed)
        SELECT %(namespace)s, json_extract(value, '$.queue'), json_extract(value, '$.job'),
               json_extract(value, '$.version'), json_extract(value, '$.payload_text'), 'pending',
               json_extract(value, '$.priority'), COALESCE(json_extract(value, '$.run_at'), %(now)s),
               json_extract(value, '$.expires_at'), %(now)s,
               0, 0, 0, 0, 0, json_extract(value, '$.max_attempts'), json_extract(value, '$.timeout_seconds'),
               json_extract(value, '$.delivery'),
               json_extract(value, '$.concurrency_key'), json_extract(value, '$.rate_key'),
               json_extract(value, '$.unique_key'), json_extract(value, '$.unique_lock'),
               json_extract(value, '$.tags'), json_extract(value, '$.tenant'), json_extract(value, '$.user'),
               json_extract(value, '$.trace_id'), json_extract(value, '$.metadata_text'),
               json_extract(value, '$.replay_of'), json_extract(value, '$.schedule'),
               json_extract(value, '$.fires_at'), json_extract(value, '$.missed')
          FROM json_each(%(runs)s)
      ORDER BY key
    """

    INSERT = f"""
        {NEW}
     RETURNING id, run_at, created_at, expires_at
    """

    def insert(self, namespace: str, runs: Sequence[NewRun]) -> list[Inserted]:
        return sorted(self._inserted(*row) for row in self._insert(self.INSERT, namespace, runs))

    INSERT_UNIQUE = f"""
        {NEW}
            ON CONFLICT (namespace, unique_lock) WHERE unique_lock IS NOT NULL DO NOTHING
     RETURNING id, run_at, created_at, expires_at, unique_lock
    """

    def insert_unique(self, namespace: str, runs: Sequence[NewRun]) -> list[Inserted | None]:
        rows = self._insert(self.INSERT_UNIQUE, namespace, runs)
        return matched(runs, sorted((self._inserted(*row), lock) for *row, lock in rows))

    def _insert(self, sql: str, namespace: str, runs: Sequence[NewRun]) -> list[tuple[Any, ...]]:
        now = timezone.now()
        document = self.document(run.columns() | {"payload_text": run.payload_text} | _times(run, now) for run in runs)
        return self.fetch(sql, {"namespace": namespace, "runs": document, "now": self.timestamps()(now)})

    def _inserted(self, run_id: int, run_at: datetime, created_at: datetime, expires_at: datetime | None) -> Inserted:
        return Inserted(run_id, self.aware(run_at), self.aware(created_at), expires_at and self.aware(expires_at))

    KEEP_KEYS = """
        INSERT INTO jobqueue_idempotency_key (namespace, key_hash, arguments_hash, run_id, expires_at)
        SELECT %(namespace)s, json_extract(value, '$.key_hash'), json_extract(value, '$.arguments_hash'),
               json_extract(value, '$.run_id'), %(expires_at)s
          FROM json_each(%(keys)s)
      ORDER BY key
            ON CONFLICT (namespace, key_hash) DO UPDATE
                    SET arguments_hash = excluded.arguments_hash,
                        run_id = excluded.run_id,
                        expires_at = excluded.expires_at
                  WHERE expires_at <= %(now)s
     RETURNING key_hash
    """

    def keep_keys(self, namespace: str, keys: Sequence[KeptKey], *, seconds: float) -> set[str]:
        now, text = timezone.now(), self.timestamps()
        rows = self.fetch(
            self.KEEP_KEYS,
            {
                "namespace": namespace,
                "keys": self.document(key._asdict() for key in keys),
                "now": text(now),
                "expires_at": text(now + timedelta(seconds=seconds)),
            },
        )
        return {key_hash for (key_hash,) in rows}


def _times(run: NewRun, now: datetime) -> dict[str, datetime]:
    """When a new run is due, and until when it may be started; nothing for at once and for ever, as most are."""
    if run.run_at is None and not run.delay_seconds and run.expires_after_seconds is None:
        return {}
    run_at = (run.run_at or now) + timedelta(seconds=run.delay_seconds)
    times = {"run_at": run_at}
    if run.expires_at is None and run.expires_after_seconds is not None:
        times["expires_at"] = run_at + timedelta(seconds=run.expires_after_seconds)
    return times
