from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from subprocess import PIPE, Popen

import psutil
import psycopg
import pytest
from django.db import connection

from tests.servers import PostgresServer

pytestmark = pytest.mark.postgresql


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.mark.django_db
def test_the_suite_runs_on_postgresql_18() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version_num")
        [version] = cursor.fetchone()

    assert int(version) // 10_000 == 18


@pytest.mark.parametrize("end", [PostgresServer.stop, PostgresServer.kill])
def test_a_server_that_starts_again_still_has_its_data(
    server: PostgresServer, end: Callable[[PostgresServer], None]
) -> None:
    with psycopg.connect(server.conninfo()) as client:
        client.execute("CREATE TABLE kept AS SELECT 42 AS answer")

    end(server)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.conninfo())
    server.start()

    with psycopg.connect(server.conninfo(host=str(server.folder))) as client:
        assert client.execute("SELECT answer FROM kept").fetchall() == [(42,)]


def test_a_server_ends_with_a_process_that_is_killed() -> None:
    program = """
import tests.servers
with tests.servers.PostgresServer() as server:
    print(server.pid, flush=True)
    input()
"""
    with Popen([sys.executable, "-c", program], stdin=PIPE, stdout=PIPE, text=True) as owner:
        assert owner.stdout
        postmaster = psutil.Process(int(owner.stdout.readline()))
        owner.kill()

    _gone, alive = psutil.wait_procs([postmaster], timeout=60)
    assert not alive
