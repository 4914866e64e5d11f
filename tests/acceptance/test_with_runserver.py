"""``runjobs --with-runserver``: the development server and the workers in one terminal."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from django_jobqueue import queues
from tests.acceptance.programs import Effects, wait_until
from tests.acceptance.supervised import SupervisorProcess, Workshop

pytestmark = [pytest.mark.slow, pytest.mark.sqlite]  # what they ask depends on no database

Supervise: TypeAlias = Callable[..., SupervisorProcess]

URLS = """
import os

from django.http import HttpResponse
from django.urls import path

urlpatterns = [path("hello", lambda request: HttpResponse(f"hello from {os.getpid()}"))]
"""


@pytest.fixture
def workshop(tmp_path: Path, project: None) -> Workshop:
    """A project with one page."""
    workshop = Workshop(tmp_path)
    workshop.urls.write_text(URLS)
    return workshop


@pytest.fixture
def address() -> str:
    """Where nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def supervise(tmp_path: Path, workshop: Workshop, address: str) -> Iterator[Supervise]:
    """Start ``runjobs --with-runserver`` with more arguments; it ends with the test, and so do its programs."""
    with ExitStack() as programs:

        def supervise(*arguments: str, **options: Any) -> SupervisorProcess:
            supervisor = SupervisorProcess(
                [*arguments, f"--with-runserver={address}"], tmp_path, environment=workshop.environment, **options
            )
            return programs.enter_context(supervisor)

        yield supervise


def page(address: str) -> str:
    """The page, or nothing."""
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        connection.request("GET", "/hello")
        return connection.getresponse().read().decode()
    except OSError:
        return ""
    finally:
        connection.close()


def wait_for_page(address: str) -> int:
    """Wait until the page is served; return the process that serves it."""
    pid = None

    def is_served() -> bool:
        nonlocal pid
        pid = re.search(r"hello from (\d+)", page(address))
        return pid is not None

    wait_until(is_served, "the page is served")
    assert pid is not None
    return int(pid[1])


OPTIONS = ["--processes=2", "--reload", "--settings=workshop_settings"]
"""It goes together with all of them."""


def test_it_serves_pages_while_workers_work_and_ends_with_them(
    supervise: Supervise, effects: Effects, address: str
) -> None:
    supervisor = supervise(*OPTIONS).wait_until_ready()
    wait_for_page(address)
    run = queues.default.add("record")
    [effect] = effects.wait_for("start")
    supervisor.wait_until_working(2)

    os.killpg(supervisor.pid, signal.SIGINT)

    assert effect.run_id == run.id
    assert supervisor.wait() == 0
    assert supervisor.family() == []
    assert page(address) == ""


def test_the_worker_works_on_while_the_server_cannot_and_the_server_is_started_again_and_ends_with_its_supervisor(
    supervise: Supervise, effects: Effects, address: str
) -> None:
    host, port = address.split(":")
    with socket.socket() as listener:
        listener.bind((host, int(port)))
        listener.listen()
        supervisor = supervise()
        supervisor.wait_for_line("runserver ended with exit code 1; it is started again in 1 s.")
        queues.default.add("record")
        effects.wait_for("start")
        assert "Error: That port is already in use." in supervisor.output

    first = wait_for_page(address)
    [server] = [
        child for child in supervisor.family() if child.ppid() == supervisor.pid and "runserver" in child.cmdline()
    ]
    for process in [server, *server.children(recursive=True)]:
        process.kill()
    supervisor.wait_for_line("runserver was killed by signal 9; it is started again in ")
    assert wait_for_page(address) != first

    supervisor.wait_until_working(1)
    supervisor.kill_supervisor()
    wait_until(lambda: not supervisor.family(), "the worker and the server end")
