"""Silence: the threads of a worker do not wait for ever for a server that cannot be reached any more."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest
from django.db import connection, connections

from django_jobqueue import job, queues
from tests.worker.bench import Recorder, wait_until
from tests.worker.conftest import OnConnect, StartWorker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgresql]


def milliseconds_of_silence(fileno: int) -> int:
    """After how long the system gives up the other side; 0: after what it thinks fit."""
    with socket.fromfd(fileno, socket.AF_INET, socket.SOCK_STREAM) as end:
        return end.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux has this option")
@pytest.mark.parametrize(
    ("options", "of_worker", "of_job"),
    [({}, 15_000, 0), ({"tcp_user_timeout": 60_000}, 60_000, 60_000), ({"keepalives_idle": 600}, 0, 0)],
    ids=["nothing said", "timeout said", "keepalives said"],
)
def test_a_worker_gives_up_a_silent_server_and_leaves_connections_of_jobs_as_they_are(
    start_worker: StartWorker,
    observer: Recorder,
    on_connect: OnConnect,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    of_worker: int,
    of_job: int,
) -> None:
    found: dict[str, int] = {}

    def watch(new: Any) -> None:
        def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            found[threading.current_thread().name] = milliseconds_of_silence(new.connection.fileno())
            return execute(sql, params, many, context)

        if threading.current_thread() is not threading.main_thread():
            new.execute_wrappers.append(note)

    @job
    def query() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")

    connections.close_all()
    settings = connections.settings["default"]
    monkeypatch.setitem(settings, "OPTIONS", settings["OPTIONS"] | options)
    if settings["HOST"].startswith("/"):  # a socket of the machine, of which none of that holds
        monkeypatch.setitem(settings, "HOST", "127.0.0.1")
    on_connect(watch)
    run = queues.default.add("query")
    with start_worker(concurrency=1) as worker:
        observer.wait_until_settled(run)
        wait_until(lambda: "jobqueue-heartbeat" in found)

    assert found[f"test-worker-{worker.worker.name}"] == found["jobqueue-heartbeat"] == of_worker
    assert found["jobqueue-1"] == of_job
