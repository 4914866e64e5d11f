"""PostgreSQL: new runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from django_jobqueue.engines.base import Inserted, Inserting, KeptKey, NewRun, matched
from django_jobqueue.engines.postgresql.preparing import PostgreSQLPreparing


class PostgreSQLInserting(PostgreSQLPreparing, Inserting):
    """Inserts a batch at once, and a single run by a statement that is planned in half of the time."""

    INSERT_ONE = """
        INSERT INTO jobqueue_run (
               namespace, queue, job, version, payload, state, priority, run_at, expires_at, created_at,
               attempt, failures, crashes, snoozes, releases, max_attempts, timeout_seconds, delivery,
               concurrency_key, rate_key, unique_key, unique_lock, tags, tenant, user_id, trace_id, metadata,
               replay_of_id, schedule_id, fires_at, missed)
        VALUES (%(namespace)s, %(queue)s, %(job)s, %(version)s, %(payload_text)s, 'pending', %(priority)s,
               COALESCE(%(run_at)s, statement_timestamp()) + %(delay_seconds)s * interval '1 s',
               COALESCE(%(expires_at)s,
                        COALESCE(%(run_at)s, statement_timestamp()) + %(delay_seconds)s * interval '1 s'
                        + %(expires_after_seconds)s::double precision * interval '1 s'),
               statement_timestamp(), 0, 0, 0, 0, 0, %(max_attempts)s, %(timeout_seconds)s, %(delivery)s,
               %(concurrency_key)s, %(rate_key)s, %(unique_key)s, %(unique_lock)s, %(tags)s, %(tenant)s, %(user)s,
               %(trace_id)s, %(metadata_text)s, %(replay_of)s, %(schedule)s, %(fires_at)s, %(missed)s)
     RETURNING id, run_at, created_at, expires_at, pg_backend_pid()
    """

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
          FROM (SELECT nextval('jobqueue_run_id_seq') AS id, alike.*, payload_text
                  FROM json_to_recordset(%(runs)s::json) AS alike(
                       queue text, job text, version int, priority smallint, run_at timestamptz,
                       delay_seconds double precision, expires_at timestamptz,
                       expires_after_seconds double precision, max_attempts smallint,
                       timeout_seconds double precision, delivery text,
                       concurrency_key text, rate_key text, unique_key text, unique_lock text, tags jsonb,
                       tenant text, "user" text, trace_id text, metadata_text text, replay_of bigint,
                       schedule bigint, fires_at timestamptz, missed int, payload_texts json)
            CROSS JOIN LATERAL json_array_elements_text(payload_texts) AS payload(payload_text)) AS new
    """

    INSERT = f"""
        {NEW}
     RETURNING id, run_at, created_at, expires_at, unique_lock
    """

    def insert(self, namespace: str, runs: Sequence[NewRun]) -> list[Inserted]:
        if len(runs) == 1:
            [[*row, _]] = self.fetch_often(self.INSERT_ONE, _parameters(namespace, runs[0]))
            return [Inserted(*row)]
        rows = self.fetch(self.INSERT, {"namespace": namespace, "runs": self.document(_alike(runs))})
        return [inserted for inserted, _ in self._inserted(rows)]

    # Two who insert the same locks wait for each other in the same order, so that neither waits for ever.
    INSERT_UNIQUE = f"""
        {NEW}
      ORDER BY new.unique_lock
            ON CONFLICT (namespace, unique_lock) WHERE unique_lock IS NOT NULL DO NOTHING
     RETURNING id, run_at, created_at, expires_at, unique_lock
    """

    def insert_unique(self, namespace: str, runs: Sequence[NewRun]) -> list[Inserted | None]:
        rows = self.fetch(self.INSERT_UNIQUE, {"namespace": namespace, "runs": self.document(_alike(runs))})
        return matched(runs, self._inserted(rows))

    def _inserted(self, rows: Iterable[tuple[Any, ...]]) -> list[tuple[Inserted, str | None]]:
        """The rows of new runs in the order of their ids, each with its lock."""
        return sorted((Inserted(*inserted), lock) for *inserted, lock in rows)

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


def _parameters(namespace: str, run: NewRun) -> dict[str, Any]:
    """The fields of a single run, as a statement takes them."""
    tags = None if run.tags is None else json.dumps(run.tags)
    return run._asdict() | {"namespace": namespace, "delivery": run.delivery.value, "tags": tags}


def _alike(runs: Iterable[NewRun]) -> Iterator[dict[str, Any]]:
    """What a document says of *runs*: once for those side by side that differ in nothing but their payloads.

    What it does not say is NULL.
    """
    for _, alike in groupby(runs, key=itemgetter(slice(-1))):
        together = list(alike)
        yield together[0].columns() | {"payload_texts": [run.payload_text for run in together]}
