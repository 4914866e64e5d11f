"""Runs that are added one by one: their statement is planned once, where that is safe, and no other one is touched."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Thread
from typing import Any

import pytest
from django.db import connection, connections, transaction

from django_jobqueue.engines.base import Engine
from django_jobqueue.engines.postgresql.preparing import PREPARED_AFTER
from django_jobqueue.models import Run
from tests.engines.conftest import MakeRun
from tests.servers import HOST

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgresql]

OFTEN = PREPARED_AFTER + 3


@pytest.fixture(autouse=True)
def _new_session() -> Iterator[None]:
    connection.close()
    yield
    connection.close()


def ask(sql: str) -> Any:
    """What the session of this thread answers."""
    with connection.cursor() as cursor:
        cursor.execute(sql)
        [answer] = cursor.fetchone()
    return answer


def prepared() -> int:
    """How many statements are prepared in it."""
    return int(ask("SELECT count(*) FROM pg_prepared_statements"))


def add_often(make_run: MakeRun) -> list[int]:
    return [make_run() for _ in range(OFTEN)]


def test_adding_again_and_again_is_planned_once(make_run: MakeRun) -> None:
    ids = add_often(make_run)

    assert prepared() == 1
    assert list(Run.objects.order_by("pk").values_list("pk", flat=True)) == ids


def test_statements_of_the_project_are_not_prepared(make_run: MakeRun) -> None:
    add_often(make_run)

    assert [prepared() for _ in range(OFTEN)] == [1] * OFTEN


def test_nothing_is_prepared_within_a_transaction(make_run: MakeRun) -> None:
    make_run()
    with transaction.atomic():
        add_often(make_run)
    for _ in range(OFTEN):
        with transaction.atomic():
            make_run()  # its first statement: the server does not know of it yet

    assert prepared() == 0


@pytest.mark.parametrize(
    "said",
    [
        {"DISABLE_SERVER_SIDE_CURSORS": True},
        {"OPTIONS": {"prepare_threshold": None}},
        {"OPTIONS": {"server_side_binding": True}},
    ],
    ids=["sessions are pooled", "never prepare", "bind on the server"],
)
def test_the_word_of_the_project_counts(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, said: dict[str, Any]
) -> None:
    for name, value in said.items():
        monkeypatch.setitem(connection.settings_dict, name, value)

    add_often(make_run)

    assert prepared() == 0


def test_nothing_is_prepared_where_somebody_looks_at_each_cursor(make_run: MakeRun) -> None:
    from django.db.backends.postgresql.base import Cursor  # psycopg need not be installed

    class Traced(Cursor):
        pass

    connection.ensure_connection()
    connection.connection.cursor_factory = Traced

    add_often(make_run)

    assert prepared() == 0


class Pooler:
    """Stands between client and server, and tells the client, as poolers do, of a process that is not the server's."""

    PROCESS = re.compile(rb"(?<=K\0\0\0\x0c)....(?=....Z)", re.DOTALL)

    def __init__(self) -> None:
        self._listening = socket.create_server((HOST, 0))
        self.port = self._listening.getsockname()[1]
        self._server = HOST, int(connection.settings_dict["PORT"])
        self._start(self._work)

    def _work(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(self._server)
                self._start(self._pass_on, client, server)
                self._start(self._pass_on, server, client)

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with source, target, suppress(OSError):
            while data := source.recv(65536):
                target.sendall(self.PROCESS.sub(b"\0\0\0\1", data))

    def _start(self, work: Callable[..., None], *arguments: socket.socket) -> None:
        Thread(target=work, args=arguments, daemon=True).start()

    def close(self) -> None:
        self._listening.close()


@pytest.fixture
def pooler(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pooler]:
    """The way to the database, from now on."""
    pooler = Pooler()
    monkeypatch.setitem(connection.settings_dict, "HOST", HOST)
    monkeypatch.setitem(connection.settings_dict, "PORT", str(pooler.port))
    yield pooler
    connections.close_all()
    pooler.close()


@pytest.mark.usefixtures("pooler")
def test_nothing_is_set_and_no_plan_is_kept_behind_a_pooler(engine: Engine) -> None:
    connection.ensure_connection()
    engine.plan_once()

    for _ in range(OFTEN):
        engine.next_due("default", ["mail"])

    assert ask("SHOW plan_cache_mode") == "auto"
    assert prepared() == 0


def test_plans_are_kept_where_the_server_answers(engine: Engine) -> None:
    connection.ensure_connection()
    engine.plan_once()

    for _ in range(OFTEN):
        engine.next_due("default", ["mail"])

    assert ask("SHOW plan_cache_mode") == "force_generic_plan"
    assert prepared() > 0


@pytest.mark.usefixtures("pooler")
def test_nothing_is_prepared_behind_a_pooler(make_run: MakeRun) -> None:
    add_often(make_run)

    assert Run.objects.count() == OFTEN
    assert prepared() == 0


def test_a_statement_that_was_discarded_is_said_as_usual(make_run: MakeRun) -> None:
    ids = add_often(make_run)
    with connection.cursor() as cursor:
        cursor.execute("DISCARD ALL")

    said = []

    def note(execute: Callable[..., Any], sql: str, *others: Any) -> Any:
        said.append(sql)
        return execute(sql, *others)

    with connection.execute_wrapper(note):
        ids += add_often(make_run)

    assert len(said) == 1 + OFTEN
    assert list(Run.objects.order_by("pk").values_list("pk", flat=True)) == ids
    assert prepared() == 0


@pytest.fixture
def coarser_moments() -> Iterator[Callable[[], None]]:
    """Lets a column that is answered be of another type, until the test is over."""

    def alter(type_: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE jobqueue_run ALTER run_at TYPE {type_}")

    yield lambda: alter("timestamptz(3)")
    alter("timestamptz")


def test_a_statement_is_said_as_usual_when_its_table_has_changed(
    make_run: MakeRun, coarser_moments: Callable[[], None]
) -> None:
    ids = add_often(make_run)
    coarser_moments()

    ids += add_often(make_run)

    assert list(Run.objects.order_by("pk").values_list("pk", flat=True)) == ids
