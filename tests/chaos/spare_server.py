"""A PostgreSQL that trials may harm: stop, kill, freeze, fill up, or have its clock put forward or back."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from os import environ

import psutil
import psycopg
from django.db.backends.base.base import BaseDatabaseWrapper

from tests.acceptance.programs import wait_until
from tests.servers import HOST, PostgresServer

EMPTY = "chaos"
"""The database with our tables, of which each test gets a copy."""
CROWD = "crowd"
"""Who takes the connections away from the workers."""
SESSIONS = """
      FROM pg_stat_activity
     WHERE backend_type = 'client backend'
       AND application_name <> %s
       AND pid <> pg_backend_pid()
"""


class SpareServer(PostgresServer):
    """A PostgreSQL beside that of the suite, with our tables."""

    def __init__(self, *, environment: Mapping[str, str] | None = None) -> None:
        super().__init__(fsync=False, max_connections=20, environment=environment)
        self._databases = 0

    @property
    def access(self) -> dict[str, str]:
        """What programs must have in their environment to work in the database of this test."""
        return self._access(f"{EMPTY}_{self._databases}")

    @contextmanager
    def database_of(self, connection: BaseDatabaseWrapper) -> Iterator[None]:
        """Let *connection* lead to a new database, until the end of the block."""
        if self._databases == 0:
            self._create_tables()
        self._databases += 1
        self._execute(f"CREATE DATABASE {EMPTY}_{self._databases} TEMPLATE {EMPTY}")
        connection.close()
        before = dict(connection.settings_dict)
        connection.settings_dict |= {"NAME": f"{EMPTY}_{self._databases}", "HOST": HOST, "PORT": str(self.port)}
        try:
            yield
        finally:
            connection.close()
            connection.settings_dict |= {key: before[key] for key in ("NAME", "HOST", "PORT")}

    def terminate_sessions(self) -> int:
        """End the sessions of all others; return how many there were."""
        with self._connect() as admin:
            return self._terminate(admin)

    def kill_session(self) -> None:
        """Kill the process of one session. The server then resets all others."""
        before = self._checkpointer()
        wait_until(self._sessions, "somebody has a session")
        psutil.Process(self._sessions()[0]).kill()
        wait_until(lambda: self._checkpointer() not in (before, None), "the server works again")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Answer nobody, until the end of the block: connections are accepted by the kernel, and that is all."""
        postmaster = psutil.Process(self.pid)
        family = [postmaster, *postmaster.children(recursive=True)]
        for process in family:
            process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in reversed(family):
                process.send_signal(signal.SIGCONT)

    @contextmanager
    def setting(self, **settings: str) -> Iterator[None]:
        """Have these settings, for every session, until the end of the block."""
        for name, value in settings.items():
            self._execute(f"ALTER SYSTEM SET {name} = '{value}'")
        self._execute("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            for name in settings:
                self._execute(f"ALTER SYSTEM RESET {name}")
            self._execute("SELECT pg_reload_conf()")

    @contextmanager
    def crowded(self) -> Iterator[None]:
        """Let others have all connections that there are, until the end of the block."""
        with self._connect() as admin, ExitStack() as crowd:
            self._fill(crowd)
            while self._terminate(admin):  # some are quick to come back
                self._fill(crowd)
            yield

    def _create_tables(self) -> None:
        self._execute(f"CREATE DATABASE {EMPTY}")
        subprocess.run(
            [sys.executable, "-m", "django", "migrate", "--run-syncdb", "--verbosity=0"],
            check=True,
            env=environ | self._access(EMPTY) | {"DJANGO_SETTINGS_MODULE": "tests.settings"},
        )

    def _access(self, database: str) -> dict[str, str]:
        return {
            "JOBQUEUE_TEST_POSTGRESQL_HOST": HOST,
            "JOBQUEUE_TEST_POSTGRESQL_PORT": str(self.port),
            "JOBQUEUE_TEST_DATABASE_NAME": database,
        }

    def _fill(self, crowd: ExitStack) -> None:
        with suppress(psycopg.OperationalError):
            while True:
                crowd.enter_context(self._connect(application_name=CROWD))

    def _sessions(self) -> list[int]:
        """The processes of the sessions of all others."""
        with self._connect() as admin:
            return [pid for (pid,) in admin.execute(f"SELECT pid {SESSIONS}", [CROWD])]

    def _checkpointer(self) -> int | None:
        """A process that is another one after each reset; None, while the server does not answer."""
        with suppress(psycopg.OperationalError), self._connect() as admin:
            row = admin.execute("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'").fetchone()
            return None if row is None else int(row[0])
        return None

    def _terminate(self, admin: psycopg.Connection) -> int:
        return len(admin.execute(f"SELECT pg_terminate_backend(pid, 10000) {SESSIONS}", [CROWD]).fetchall())

    def _execute(self, sql: str) -> None:
        with self._connect() as admin:
            admin.execute(sql)

    def _connect(self, application_name: str = "") -> psycopg.Connection:
        return psycopg.connect(self.conninfo(), autocommit=True, application_name=application_name)
