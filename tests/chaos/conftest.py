from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from pytest_django import Settings

from django_jobqueue.conf.worker import WorkerConfig
from tests.chaos import settings as chaos_settings
from tests.chaos.clock import Clock
from tests.chaos.harness import REPORT, SEEDS, Trial
from tests.chaos.proxy import Proxy
from tests.chaos.spare_server import SpareServer


def pytest_runtest_setup(item: pytest.Item) -> None:
    mark = item.get_closest_marker("thorough")
    if mark is not None and REPORT is None and connection.vendor in (mark.args or [connection.vendor]):
        pytest.skip("only by make chaos")


@pytest.fixture(params=SEEDS, ids=lambda seed: f"seed-{seed}")
def trial(
    request: pytest.FixtureRequest, settings: Settings, transactional_db: None, tmp_path: Path
) -> Iterator[Trial]:
    """A trial, in which the test is the producer. What the fault is, the name of the test says."""
    settings.JOBQUEUE = chaos_settings.JOBQUEUE
    servers = [name for name in ("server", "shifted_server") if name in request.fixturenames]
    environment = request.getfixturevalue(servers[0]).access if servers else {}
    name, _, what = request.node.originalname.removeprefix("test_").partition("_")
    with Trial(name.upper(), what.replace("_", " "), tmp_path, request.param, environment) as trial:
        if request.node.get_closest_marker("default_lease") and REPORT is not None:
            trial.lease_seconds = WorkerConfig().lease_seconds
        if (lease := request.node.get_closest_marker("lease")) and REPORT is None:
            [trial.lease_seconds] = lease.args
        yield trial


@pytest.fixture(scope="session")
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
    """What stands between their server and the workers that are started with its environment."""
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def clock() -> Iterator[Clock]:
    """A clock for those that are started with its environment."""
    with Clock() as clock:
        yield clock


@pytest.fixture
def shifted_server(clock: Clock, transactional_db: None) -> Iterator[SpareServer]:
    """A server that goes by that clock, and for as long as the test lasts the database that it works in."""
    with SpareServer(environment=clock.environment) as server, server.database_of(connection):
        yield server
