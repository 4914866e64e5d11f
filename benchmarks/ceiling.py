"""What the database itself can do: claim and settle in batches, with full history, and nothing around it.

Plain drivers, prepared statements, one connection, no worker, no Python per run.
"""

from __future__ import annotations

import json
import sqlite3

import psycopg

BATCH = 100

POSTGRESQL_CLAIM = """
       UPDATE jobqueue_run
          SET state = 'running', attempt = attempt + 1, worker = 'ceiling', started_at = statement_timestamp(),
              lease_until = statement_timestamp() + interval '30 s'
        WHERE id = ANY(ARRAY(
               SELECT id
                 FROM jobqueue_run
                WHERE namespace = 'default' AND queue = 'default' AND state = 'pending' AND blocked_on IS NULL
                  AND priority = 0 AND run_at <= statement_timestamp()
             ORDER BY run_at, id
                LIMIT %s
                  FOR UPDATE SKIP LOCKED))
    RETURNING id
"""
POSTGRESQL_SETTLE = """
    WITH settled AS (
           UPDATE jobqueue_run
              SET state = 'completed', reason = 'returned', lease_until = NULL, finished_at = statement_timestamp()
            WHERE id = ANY(%s::bigint[]) AND attempt = 1 AND lease_until IS NOT NULL
        RETURNING id, attempt, worker, started_at
    )
    INSERT INTO jobqueue_attempt (run_id, number, worker, started_at, finished_at, outcome)
    SELECT id, attempt, worker, started_at, statement_timestamp(), 'completed' FROM settled
"""


def drain_postgresql(conninfo: str) -> int:
    """Work all due runs; return how many they were."""
    done = 0
    with psycopg.connect(conninfo, autocommit=True, prepare_threshold=0) as connection:
        ids = [row[0] for row in connection.execute(POSTGRESQL_CLAIM, [BATCH])]
        while ids:
            done += len(ids)
            with connection.transaction():
                connection.execute(POSTGRESQL_SETTLE, [f"{{{','.join(map(str, ids))}}}"])
                ids = [row[0] for row in connection.execute(POSTGRESQL_CLAIM, [BATCH])]
    return done


SQLITE_CLAIM = """
       UPDATE jobqueue_run
          SET state = 'running', attempt = attempt + 1, worker = 'ceiling',
              started_at = strftime('%Y-%m-%d %H:%M:%f', 'now'),
              lease_until = strftime('%Y-%m-%d %H:%M:%f', 'now', '+30 seconds')
        WHERE id IN (
               SELECT id
                 FROM jobqueue_run
                WHERE namespace = 'default' AND queue = 'default' AND state = 'pending' AND blocked_on IS NULL
                  AND priority = 0 AND run_at <= strftime('%Y-%m-%d %H:%M:%f', 'now')
             ORDER BY run_at, id
                LIMIT ?)
    RETURNING id
"""
SQLITE_SETTLE = """
    UPDATE jobqueue_run
       SET state = 'completed', reason = 'returned', lease_until = NULL,
           finished_at = strftime('%Y-%m-%d %H:%M:%f', 'now')
     WHERE id IN (SELECT value FROM json_each(?)) AND attempt = 1 AND lease_until IS NOT NULL
"""
SQLITE_RECORD = """
    INSERT INTO jobqueue_attempt (run_id, number, worker, started_at, finished_at, outcome)
    SELECT id, attempt, worker, started_at, finished_at, 'completed'
      FROM jobqueue_run
     WHERE id IN (SELECT value FROM json_each(?))
"""


def drain_sqlite(path: str) -> int:
    """Work all due runs; return how many they were."""
    done = 0
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript("PRAGMA synchronous = NORMAL")
    ids = [row[0] for row in connection.execute(SQLITE_CLAIM, [BATCH]).fetchall()]
    while ids:
        done += len(ids)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(SQLITE_SETTLE, [json.dumps(ids)])
        connection.execute(SQLITE_RECORD, [json.dumps(ids)])
        ids = [row[0] for row in connection.execute(SQLITE_CLAIM, [BATCH]).fetchall()]
        connection.execute("COMMIT")
    connection.close()
    return done
