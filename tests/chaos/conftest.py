from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from pytest_django import Settings

from tests.chaos import settings as chaos_settings
from tests.chaos.faults import Proxy, SpareServer
from tests.chaos.harness import SEEDS, Trial


@pytest.fixture(params=SEEDS, ids=lambda seed: f"seed-{seed}")
def trial(
    request: pytest.FixtureRequest, settings: Settings, transactional_db: None, tmp_path: Path
) -> Iterator[Trial]:
    """A trial, in which the test is the producer."""
    settings.JOBQUEUE = chaos_settings.JOBQUEUE
    server = request.getfixturevalue("server") if "server" in request.fixturenames else None
    proxy = request.getfixturevalue("proxy") if "proxy" in request.fixturenames else None
    environment = {} if server is None else server.environment
    if proxy is not None:
        environment |= proxy.environment
    name = request.node.originalname.removeprefix("test_").partition("_")[0].upper()
    with Trial(name, tmp_path, request.param, environment) as trial:
        yield trial


@pytest.fixture(scope="module")
def spare_server() -> Iterator[SpareServer]:
    """A PostgreSQL that a test may harm."""
    with SpareServer() as server:
        yield server


@pytest.fixture
def server(spare_server: SpareServer, transactional_db: None) -> Iterator[SpareServer]:
    """The spare server, and for as long as the test lasts the database that it works in."""
    with spare_server.database_of(connection):
        yield spare_server


@pytest.fixture
def proxy(server: SpareServer) -> Iterator[Proxy]:
    """What stands between the workers and their server."""
    with Proxy(server.port) as proxy:
        yield proxy
