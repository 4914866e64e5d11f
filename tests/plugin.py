"""Sets up what must be there before Django reads its settings: a folder, and a database server.

JOBQUEUE_TEST_DATABASE is ``sqlite`` (the default), ``postgresql`` or ``mysql``. A server that the environment already
names is used as it is.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Generator
from contextlib import ExitStack
from tempfile import TemporaryDirectory

import pytest

from tests.mariadb import MariaDBServer
from tests.servers import PostgresServer

SKIPPED = 77
"""The exit code of a suite that did not run; automake and meson take it for that too."""

pytest_plugins = ["django_jobqueue.testing.pytest_plugin"]  # as the entry point of an installed package does


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, None, None]:
    """Run around the other plugins, of which one loads the settings."""
    session = ExitStack()
    early_config.add_cleanup(session.close)

    os.environ["JOBQUEUE_TEST_FOLDER"] = session.enter_context(TemporaryDirectory(prefix="jobqueue-"))

    match os.environ.get("JOBQUEUE_TEST_DATABASE"):
        case "postgresql" if "JOBQUEUE_TEST_POSTGRESQL_PORT" not in os.environ:
            postgres = session.enter_context(PostgresServer(fsync=False))
            os.environ["JOBQUEUE_TEST_POSTGRESQL_HOST"] = str(postgres.folder)
            os.environ["JOBQUEUE_TEST_POSTGRESQL_PORT"] = str(postgres.port)
        case "mysql" if "JOBQUEUE_TEST_MYSQL_HOST" not in os.environ:
            if not MariaDBServer.is_installed():
                print("SKIPPED: no mariadbd here, and JOBQUEUE_TEST_MYSQL_HOST names no server.", file=sys.stderr)
                sys.exit(SKIPPED)
            mariadb = session.enter_context(MariaDBServer())
            os.environ["JOBQUEUE_TEST_MYSQL_HOST"] = str(mariadb.socket)

    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected, by each worker of xdist, stays to the end: to look through it for garbage is for nothing."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()
