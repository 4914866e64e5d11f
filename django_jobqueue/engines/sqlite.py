"""SQLite, from version 3.35.

Writers take turns, so a single statement is exact by itself, limits included. A transaction that reads before it writes
fails as soon as another writer was faster, whatever the timeout; hence every transaction here begins with a write. The
clock is the host's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from django.db import transaction
from django.utils import timezone

from django_jobqueue.engines.base import (
    Advance,
    Claim,
    Due,
    Engine,
    Inserted,
    KeptKey,
    LostRun,
    NewRun,
    Note,
    Ref,
    Settlement,
    columns,
    in_claim_order,
    matched,
    seconds_ago,
)
from django_jobqueue.engines.sqlite_lines import SQLiteLines
from django_jobqueue.states import State


class SQLiteEngine(SQLiteLines, Engine):
    """Claims and fences in single statements."""

    NEW = """
        INSERT INTO jobqueue_run (
               namespace, queue, job, version, payload, state, priority, run_at, expires_at, created_at,
               attempt, failures, crashes, snoozes, releases, max_attempts, delivery,
               concurrency_key, rate_key, unique_key, unique_lock, tags, tenant, user_id, trace_id, metadata, replay_of_id,
               schedule_id, fires_at, missed)
        SELECT %(namespace)s, json_extract(value, '$.queue'), json_extract(value, '$.job'),
               json_extract(value, '$.version'), json_extract(value, '$.payload_text'), 'pending',
               json_extract(value, '$.priority'), COALESCE(json_extract(value, '$.run_at'), %(now)s),
               json_extract(value, '$.expires_at'), %(now)s,
               0, 0, 0, 0, 0, json_extract(value, '$.max_attempts'), json_extract(value, '$.delivery'),
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
        document = self.document(columns(run) | _times(run, now) for run in runs)
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

    # A level is a priority that has a pending run. Levels are found one by one, highest first, and only as far as the
    # batch needs; the due runs of a level travel as one JSON array, because a plain join would look through all runs.
    CLAIM = """
        WITH RECURSIVE level (priority) AS (
            SELECT (SELECT priority
                      FROM jobqueue_run
                     WHERE namespace = %(namespace)s
                       AND queue = %(queue)s
                       AND state = 'pending'
                       AND blocked_on IS NULL
                       AND (%(ruled)s OR NOT EXISTS (
                           SELECT 1
                             FROM jobqueue_queue_state
                            WHERE namespace = %(namespace)s
                              AND queue = %(queue)s
                              AND (paused_at IS NOT NULL
                                   AND (paused_until IS NULL OR paused_until > %(now)s)
                                OR concurrent_jobs IS NOT NULL
                                   AND (concurrent_jobs_until IS NULL OR concurrent_jobs_until > %(now)s)
                                OR concurrent_jobs_per_key IS NOT NULL
                                   AND (concurrent_jobs_per_key_until IS NULL
                                     OR concurrent_jobs_per_key_until > %(now)s)
                                OR rate_limit IS NOT NULL
                                   AND (rate_limit_until IS NULL OR rate_limit_until > %(now)s))))
                  ORDER BY priority DESC
                     LIMIT 1)
         UNION ALL
            SELECT (SELECT lower.priority
                      FROM jobqueue_run AS lower
                     WHERE lower.namespace = %(namespace)s
                       AND lower.queue = %(queue)s
                       AND lower.state = 'pending'
                       AND lower.blocked_on IS NULL
                       AND lower.priority < level.priority
                  ORDER BY lower.priority DESC
                     LIMIT 1)
              FROM level
             WHERE level.priority IS NOT NULL
        )
           UPDATE jobqueue_run
              SET state = 'running',
                  attempt = attempt + 1,
                  worker = %(worker)s,
                  started_at = %(now)s,
                  lease_until = %(lease_until)s,
                  unique_lock = CASE WHEN unique_lock LIKE 'p%%' THEN NULL ELSE unique_lock END
            WHERE id IN (
                   SELECT due.value
                     FROM level
               CROSS JOIN json_each((
                          SELECT json_group_array(id)
                            FROM (SELECT id
                                    FROM jobqueue_run
                                   WHERE namespace = %(namespace)s
                                     AND queue = %(queue)s
                                     AND state = 'pending'
                                     AND blocked_on IS NULL
                                     AND priority = level.priority
                                     AND run_at <= %(now)s
                                     AND (expires_at IS NULL OR expires_at > %(now)s)
                                ORDER BY run_at, id
                                   LIMIT %(limit)s))) AS due
                    WHERE level.priority IS NOT NULL
                    LIMIT %(limit)s)
        RETURNING id, attempt, queue, job, version, payload, priority, run_at,
                  failures, crashes, releases, max_attempts, delivery, metadata, concurrency_key, fires_at, missed
    """

    def claim(
        self,
        namespace: str,
        queue: str,
        *,
        worker: str,
        limit: int,
        lease_seconds: float,
        ruled: bool = False,
    ) -> list[Claim]:
        if limit <= 0:
            return []
        parameters = self._lease(worker, lease_seconds)
        parameters |= {"namespace": namespace, "queue": queue, "limit": limit, "ruled": ruled}
        return self._claims(self.fetch(self.CLAIM, parameters))

    TAKE = """
           UPDATE jobqueue_run
              SET state = 'running',
                  blocked_on = NULL,
                  attempt = attempt + 1,
                  worker = %(worker)s,
                  started_at = %(now)s,
                  lease_until = %(lease_until)s,
                  unique_lock = CASE WHEN unique_lock LIKE 'p%%' THEN NULL ELSE unique_lock END
            WHERE id IN (SELECT value FROM json_each(%(ids)s))
              AND state = 'pending'
        RETURNING id, attempt, queue, job, version, payload, priority, run_at,
                  failures, crashes, releases, max_attempts, delivery, metadata, concurrency_key, fires_at, missed
    """

    def take(self, ids: Iterable[int], *, worker: str, lease_seconds: float) -> list[Claim]:
        parameters = self._lease(worker, lease_seconds) | {"ids": self.document(ids)}
        return self._claims(self.fetch(self.TAKE, parameters))

    # RETURNING gives the column itself: SQLite 3.40 takes an IS NOT NULL there for true.
    RENEW = """
           UPDATE jobqueue_run
              SET lease_until = lease.lease_until
             FROM (SELECT json_extract(value, '$.id') AS id,
                          json_extract(value, '$.attempt') AS attempt,
                          json_extract(value, '$.lease_until') AS lease_until
                     FROM json_each(%(leases)s)) AS lease
            WHERE jobqueue_run.id = lease.id
              AND jobqueue_run.attempt = lease.attempt
              AND jobqueue_run.lease_until IS NOT NULL
        RETURNING id, attempt, cancel_requested_at
    """

    def renew(self, leases: Sequence[tuple[Ref, float]]) -> dict[Ref, bool]:
        now = timezone.now()
        document = self.document(
            ref._asdict() | {"lease_until": now + timedelta(seconds=seconds)} for ref, seconds in leases
        )
        rows = self.fetch(self.RENEW, {"leases": document})
        return {Ref(run_id, attempt): requested_at is not None for run_id, attempt, requested_at in rows}

    NOTE = """
           UPDATE jobqueue_run
              SET progress = COALESCE(note.progress, jobqueue_run.progress),
                  metadata = COALESCE(note.metadata, jobqueue_run.metadata)
             FROM (SELECT json_extract(value, '$.id') AS id,
                          json_extract(value, '$.attempt') AS attempt,
                          json_extract(value, '$.progress') AS progress,
                          json_extract(value, '$.metadata') AS metadata
                     FROM json_each(%(notes)s)) AS note
            WHERE jobqueue_run.id = note.id
              AND jobqueue_run.attempt = note.attempt
              AND jobqueue_run.lease_until IS NOT NULL
        RETURNING id, attempt
    """

    def note(self, notes: Sequence[Note]) -> set[Ref]:
        document = self.document(note._asdict() for note in notes)
        return {Ref(*row) for row in self.fetch(self.NOTE, {"notes": document})}

    # A run that is asked to cancel does not go back to pending; one whose lease is over takes no other end either.
    SETTLE = """
           UPDATE jobqueue_run
              SET state = CASE WHEN cancel_requested_at IS NOT NULL AND (ending.state = 'pending' OR %(expired)s)
                               THEN 'cancelled' ELSE ending.state END,
                  reason = CASE WHEN cancel_requested_at IS NOT NULL AND (ending.state = 'pending' OR %(expired)s)
                                THEN 'cancelled' ELSE ending.reason END,
                  finished_at = CASE WHEN cancel_requested_at IS NOT NULL OR ending.state <> 'pending'
                                     THEN %(now)s END,
                  run_at = CASE WHEN ending.state = 'pending' AND cancel_requested_at IS NULL
                                THEN ending.run_at ELSE jobqueue_run.run_at END,
                  lease_until = NULL,
                  unknown_since = NULL,
                  unique_lock = CASE WHEN unique_lock LIKE 'w%%'
                                       OR (cancel_requested_at IS NULL AND ending.state = 'pending')
                                     THEN unique_lock END,
                  failures = failures + (ending.counter IS 'failures'),
                  crashes = crashes + (ending.counter IS 'crashes'),
                  snoozes = snoozes + (ending.counter IS 'snoozes'),
                  releases = releases + (ending.counter IS 'releases'),
                  result = ending.result,
                  error = ending.error,
                  progress = COALESCE(ending.progress, jobqueue_run.progress),
                  metadata = COALESCE(ending.metadata, jobqueue_run.metadata)
             FROM (SELECT json_extract(value, '$.id') AS id,
                          json_extract(value, '$.attempt') AS attempt,
                          json_extract(value, '$.state') AS state,
                          json_extract(value, '$.reason') AS reason,
                          json_extract(value, '$.counter') AS counter,
                          json_extract(value, '$.run_at') AS run_at,
                          json_extract(value, '$.result') AS result,
                          json_extract(value, '$.error') AS error,
                          json_extract(value, '$.progress') AS progress,
                          json_extract(value, '$.metadata') AS metadata
                     FROM json_each(%(settlements)s)) AS ending
            WHERE jobqueue_run.id = ending.id
              AND jobqueue_run.attempt = ending.attempt
              AND jobqueue_run.lease_until IS NOT NULL
              AND (jobqueue_run.lease_until < %(now)s OR NOT %(expired)s)
        RETURNING id, attempt, state
    """

    RECORD = """
        INSERT INTO jobqueue_attempt (run_id, number, worker, started_at, finished_at, outcome, error, traceback)
        SELECT run.id, run.attempt, run.worker,
               COALESCE(json_extract(value, '$.started_at'), run.started_at), json_extract(value, '$.finished_at'),
               CASE run.state WHEN 'cancelled' THEN 'cancelled' ELSE json_extract(value, '$.outcome') END,
               json_extract(value, '$.error'), json_extract(value, '$.traceback')
          FROM json_each(%(attempts)s)
    CROSS JOIN jobqueue_run AS run
         WHERE run.id = json_extract(value, '$.id')
     RETURNING number
    """

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

    def _settle(self, settlements: Sequence[Settlement], *, expired: bool) -> dict[Ref, State]:
        now, ticks = timezone.now(), monotonic()
        by_ref = {settlement.ref: settlement for settlement in settlements}
        parameters = {
            "settlements": self.document(_ending(settlement, now) for settlement in by_ref.values()),
            "now": self.timestamps()(now),
            "expired": expired,
        }
        with transaction.atomic(using=self.alias, savepoint=False):
            settled = self._states(self.fetch(self.SETTLE, parameters))
            history = self.document(_history(by_ref[ref], now, ticks) for ref in settled)
            self.fetch(self.RECORD, {"attempts": history})
        return settled

    RELEASE = """
           UPDATE jobqueue_run
              SET state = CASE WHEN cancel_requested_at IS NULL THEN 'pending' ELSE 'cancelled' END,
                  reason = CASE WHEN cancel_requested_at IS NOT NULL THEN 'cancelled' END,
                  finished_at = CASE WHEN cancel_requested_at IS NOT NULL THEN %(now)s END,
                  run_at = CASE WHEN cancel_requested_at IS NULL THEN %(run_at)s ELSE run_at END,
                  lease_until = NULL,
                  unique_lock = CASE WHEN unique_lock LIKE 'w%%' OR cancel_requested_at IS NULL THEN unique_lock END,
                  releases = releases + 1,
                  unknown_since = CASE WHEN %(unknown)s THEN COALESCE(unknown_since, %(now)s) END
             FROM (SELECT json_extract(value, '$.id') AS id,
                          json_extract(value, '$.attempt') AS attempt
                     FROM json_each(%(refs)s)) AS ref
            WHERE jobqueue_run.id = ref.id
              AND jobqueue_run.attempt = ref.attempt
              AND jobqueue_run.lease_until IS NOT NULL
        RETURNING id, attempt, state
    """

    def release(self, refs: Sequence[Ref], *, delay_seconds: float = 0.0, unknown: bool = False) -> dict[Ref, State]:
        now, text = timezone.now(), self.timestamps()
        parameters = {
            "refs": self.document(ref._asdict() for ref in refs),
            "now": text(now),
            "run_at": text(now + timedelta(seconds=delay_seconds)),
            "unknown": unknown,
        }
        return self._states(self.fetch(self.RELEASE, parameters))

    EXPIRED = """
          SELECT id, attempt, queue, job, worker, crashes, delivery, concurrency_key
            FROM jobqueue_run
           WHERE namespace = %(namespace)s
             AND state = 'running'
             AND lease_until < %(now)s
             AND queue NOT IN (SELECT value FROM json_each(%(but)s))
        ORDER BY lease_until
           LIMIT %(limit)s
    """

    def reap(
        self,
        namespace: str,
        decide: Callable[[LostRun], Settlement | None],
        *,
        limit: int = 100,
        but: Sequence[str] = (),
        then: Callable[[dict[Ref, State]], None] | None = None,
    ) -> list[tuple[LostRun, State]]:
        now = self.timestamps()(timezone.now())
        parameters = {"namespace": namespace, "now": now, "limit": limit, "but": self.document(but)}
        lost = [LostRun(*row) for row in self.fetch(self.EXPIRED, parameters)]
        endings = [ending for run in lost if (ending := decide(run)) is not None]
        if not endings:
            return []
        with transaction.atomic(using=self.alias, savepoint=False):
            settled = self._settle(endings, expired=True)
            if then is not None:
                then(settled)
        return [(run, settled[run.ref]) for run in lost if run.ref in settled]

    NEXT_DUE = """
        WITH RECURSIVE level (queue, priority) AS (
            SELECT wanted.value,
                   (SELECT first.priority
                      FROM jobqueue_run AS first
                     WHERE first.namespace = %(namespace)s
                       AND first.queue = wanted.value
                       AND first.state = 'pending'
                       AND first.blocked_on IS NULL
                  ORDER BY first.priority DESC
                     LIMIT 1)
              FROM json_each(%(queues)s) AS wanted
         UNION ALL
            SELECT level.queue,
                   (SELECT lower.priority
                      FROM jobqueue_run AS lower
                     WHERE lower.namespace = %(namespace)s
                       AND lower.queue = level.queue
                       AND lower.state = 'pending'
                       AND lower.blocked_on IS NULL
                       AND lower.priority < level.priority
                  ORDER BY lower.priority DESC
                     LIMIT 1)
              FROM level
             WHERE level.priority IS NOT NULL
        )
        SELECT min(due_at)
          FROM (SELECT (SELECT run.run_at
                          FROM jobqueue_run AS run
                         WHERE run.namespace = %(namespace)s
                           AND run.queue = level.queue
                           AND run.state = 'pending'
                           AND run.blocked_on IS NULL
                           AND (run.expires_at IS NULL OR run.expires_at > %(now)s)
                           AND run.priority = level.priority
                      ORDER BY run.run_at
                         LIMIT 1) AS due_at
                  FROM level
                 WHERE level.priority IS NOT NULL
             UNION ALL
                SELECT (SELECT min(bucket.next_at)
                          FROM jobqueue_limit_bucket AS bucket
                         WHERE bucket.namespace = %(namespace)s
                           AND bucket.queue = wanted.value
                           AND bucket.next_at IS NOT NULL)
                  FROM json_each(%(queues)s) AS wanted)
    """

    def next_due(self, namespace: str, queues: Sequence[str]) -> float | None:
        now = self.timestamps()(timezone.now())
        [[run_at]] = self.fetch(self.NEXT_DUE, {"namespace": namespace, "queues": self.document(queues), "now": now})
        if run_at is None:
            return None
        return (self.aware(datetime.fromisoformat(run_at)) - timezone.now()).total_seconds()

    def now(self) -> datetime:
        return timezone.now()

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
        self.fetch(self.ADVANCE_SCHEDULES, {"advances": self.document(columns(advance) for advance in advances)})

    def timestamps(self) -> Callable[[datetime], str]:
        zone = self.connection.timezone
        return str if zone is None else lambda moment: str(moment.astimezone(zone).replace(tzinfo=None))

    def _lease(self, worker: str, lease_seconds: float) -> dict[str, Any]:
        """The parameters of a lease that begins now."""
        now, text = self.now(), self.timestamps()
        return {"worker": worker, "now": text(now), "lease_until": text(now + timedelta(seconds=lease_seconds))}

    def _claims(self, rows: Iterable[tuple[Any, ...]]) -> list[Claim]:
        return in_claim_order(self._claimed(*row) for row in rows)

    def _claimed(self, *row: Any) -> Claim:
        *fields, fires_at, missed = row
        fields[7] = self.aware(fields[7])
        return Claim(*fields, fires_at and self.aware(fires_at), missed)  # type: ignore[call-arg]

    @staticmethod
    def _states(rows: Iterable[tuple[int, int, str]]) -> dict[Ref, State]:
        return {Ref(run_id, attempt): State(state) for run_id, attempt, state in rows}


def _times(run: NewRun, now: datetime) -> dict[str, datetime]:
    """When a new run is due, and until when it may be started; nothing for at once and for ever, as most are."""
    if run.run_at is None and not run.delay_seconds and run.expires_after_seconds is None:
        return {}
    run_at = (run.run_at or now) + timedelta(seconds=run.delay_seconds)
    times = {"run_at": run_at}
    if run.expires_at is None and run.expires_after_seconds is not None:
        times["expires_at"] = run_at + timedelta(seconds=run.expires_after_seconds)
    return times


def _ending(settlement: Settlement, now: datetime) -> dict[str, Any]:
    """What becomes of the run."""
    again = settlement.state == State.PENDING
    return {
        "id": settlement.id,
        "attempt": settlement.attempt,
        "state": settlement.state,
        "reason": settlement.reason,
        "counter": settlement.counter,
        "run_at": (settlement.run_at or now) + timedelta(seconds=settlement.delay_seconds) if again else None,
        "result": settlement.result,
        "error": settlement.error,
        "progress": settlement.progress,
        "metadata": settlement.metadata,
    }


def _history(settlement: Settlement, now: datetime, ticks: float) -> dict[str, Any]:
    """What is kept of the attempt. *Ticks* is *now* by ``time.monotonic()``."""
    started_ago, finished_ago = seconds_ago(settlement, ticks)
    return {
        "id": settlement.id,
        "outcome": settlement.outcome,
        "started_at": None if started_ago is None else now - timedelta(seconds=started_ago),
        "finished_at": now - timedelta(seconds=finished_ago),
        "error": settlement.error,
        "traceback": settlement.traceback,
    }
