"""PostgreSQL: new runs."""

from __future__ import annotations

from collections.abc import Sequence

from django_jobqueue.engines.base import Inserted, Inserting, KeptKey, NewRun, columns, matched
from django_jobqueue.engines.postgresql.database import PostgreSQLDatabase


class PostgreSQLInserting(PostgreSQLDatabase, Inserting):
    """Inserts a batch at once."""

    # Ids are taken in the order of the batch, in whatever order its runs are inserted.
    NEW = """
        INSERT INTO jobqueue_run (
               id, namespace, queue, job, version, payload, state, priority, run_at, expires_at, created_at,
               attempt, failures, crashes, snoozes, releases, max_attempts, timeout_seconds, delivery,
               concurrency_key, rate_key, unique_key, unique_lock, tags, tenant, user_id, trace_id, metadata,
               replay_of_id, schedule_id, fires_at, missed)
        SELECT new.id, %(namespace)s, new.queue, new.job, new.version, new.payload_text::jsonb, 'pending', new.priority,
               COALESCE(new.run_at, statement_timestamp()) + make_interval(secs => new.delay_seconds),
               COALESCE(new.expires_at,
                        COALESCE(new.run_at, statement_timestamp()) + make_interval(secs => new.delay_seconds)
                        + make_interval(secs => new.expires_after_seconds)),
               statement_timestamp(), 0, 0, 0, 0, 0, new.max_attempts, new.timeout_seconds, new.delivery,
               new.concurrency_key, new.rate_key, new.unique_key, new.unique_lock, new.tags, new.tenant, new."user",
               new.trace_id, new.metadata_text::jsonb, new.replay_of, new.schedule, new.fires_at, new.missed
          FROM (SELECT nextval('jobqueue_run_id_seq') AS id, item.*
                  FROM json_to_recordset(%(runs)s::json) AS item(
                       queue text, job text, version int, payload_text text, priority smallint, run_at timestamptz,
                       delay_seconds double precision, expires_at timestamptz,
                       expires_after_seconds double precision, max_attempts smallint,
                       timeout_seconds double precision, delivery text,
                       concurrency_key text, rate_key text, unique_key text, unique_lock text, tags jsonb,
                       tenant text, "user" text, trace_id text, metadata_text text, replay_of bigint,
                       schedule bigint, fires_at timestamptz, missed int)) AS new
    """

    INSERT = f"""
        {NEW}
     RETURNING id, run_at, created_at, expires_at
    """

    def insert(self, namespace: str, runs: Sequence[NewRun]) -> list[Inserted]:
        document = self.document(columns(run) for run in runs)
        rows = self.fetch(self.INSERT, {"namespace": namespace, "runs": document})
        return sorted(Inserted(*row) for row in rows)

    # Two who insert the same locks wait for each other in the same order, so that neither waits for ever.
    INSERT_UNIQUE = f"""
        {NEW}
      ORDER BY new.unique_lock
            ON CONFLICT (namespace, unique_lock) WHERE unique_lock IS NOT NULL DO NOTHING
     RETURNING id, run_at, created_at, expires_at, unique_lock
    """

    def insert_unique(self, namespace: str, runs: Sequence[NewRun]) -> list[Inserted | None]:
        document = self.document(columns(run) for run in runs)
        rows = self.fetch(self.INSERT_UNIQUE, {"namespace": namespace, "runs": document})
        return matched(runs, sorted((Inserted(*row), lock) for *row, lock in rows))

    KEEP_KEYS = """
        INSERT INTO jobqueue_idempotency_key AS kept (namespace, key_hash, arguments_hash, run_id, expires_at)
        SELECT %(namespace)s, new.key_hash, new.arguments_hash, new.run_id,
               statement_timestamp() + make_interval(secs => %(seconds)s)
          FROM json_to_recordset(%(keys)s::json) AS new(key_hash text, arguments_hash text, run_id bigint)
      ORDER BY new.key_hash
            ON CONFLICT (namespace, key_hash) DO UPDATE
                    SET arguments_hash = EXCLUDED.arguments_hash,
                        run_id = EXCLUDED.run_id,
                        expires_at = EXCLUDED.expires_at
                  WHERE kept.expires_at <= statement_timestamp()
     RETURNING key_hash
    """

    def keep_keys(self, namespace: str, keys: Sequence[KeptKey], *, seconds: float) -> set[str]:
        document = self.document(key._asdict() for key in keys)
        rows = self.fetch(self.KEEP_KEYS, {"namespace": namespace, "keys": document, "seconds": seconds})
        return {key_hash for (key_hash,) in rows}
