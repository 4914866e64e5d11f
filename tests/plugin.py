"""Sets up what must be there before Django reads its settings: a folder, and a database server.

JOBQUEUE_TEST_DATABASE is ``sqlite`` (the default) or ``postgresql``. A server that the environment already
names is used as it is.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import ExitStack
from tempfile import TemporaryDirectory

import pytest

from tests.servers import PostgresServer

pytest_plugins = ["django_jobqueue.testing.pytest_plugin"]  # as the entry point of an installed package does


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, None, None]:
    """Run around the other plugins, of which one loads the settings."""
    session = ExitStack()
    early_config.add_cleanup(session.close)

    os.environ["JOBQUEUE_TEST_FOLDER"] = session.enter_context(TemporaryDirectory(prefix="jobqueue-"))

    on_postgresql = os.environ.get("JOBQUEUE_TEST_DATABASE") == "postgresql"
    if on_postgresql and "JOBQUEUE_TEST_POSTGRESQL_PORT" not in os.environ:
        server = session.enter_context(PostgresServer(fsync=False))
        os.environ["JOBQUEUE_TEST_POSTGRESQL_HOST"] = str(server.folder)
        os.environ["JOBQUEUE_TEST_POSTGRESQL_PORT"] = str(server.port)

    return (yield)
