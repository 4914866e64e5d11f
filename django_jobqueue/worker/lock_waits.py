"""Lock waits: how long the threads of a worker wait for a row that somebody else has locked.

He may be a person in the middle of a transaction, who went to lunch; and the worker has more to do than that one run.
Where the project has said how long to wait, that holds.
"""

from __future__ import annotations

from django.db.backends.base.base import BaseDatabaseWrapper

from django_jobqueue.conf import get_config
from django_jobqueue.worker.sessions import keeps_session

LONGEST_SECONDS = 3
"""Who claims holds the lock of a queue for milliseconds, and so do those who settle, for that of a run."""
TRY_SECONDS = 1
"""For MariaDB and MySQL, where a transaction that has waited in vain is tried three times."""

# A statement_timeout that is shorter would end the wait, and not say that it was one.
POSTGRESQL = """
    SELECT set_config('lock_timeout', LEAST(%s, NULLIF(setting::integer, 0) / 2.0)::text, false)
      FROM pg_settings
     WHERE name = 'statement_timeout'
       AND current_setting('lock_timeout') = '0'
"""
MYSQL = """
    SET SESSION innodb_lock_wait_timeout = LEAST(@@innodb_lock_wait_timeout, %s)
"""


def short_lock_waits(connection: BaseDatabaseWrapper) -> None:
    """Let a statement fail that has waited so long for a lock."""
    if connection.alias != get_config().database:
        return
    if keeps_session(connection):
        with connection.cursor() as cursor:
            cursor.execute(POSTGRESQL, [LONGEST_SECONDS * 1000])
    elif connection.vendor == "mysql":
        with connection.cursor() as cursor:
            cursor.execute(MYSQL, [TRY_SECONDS])
