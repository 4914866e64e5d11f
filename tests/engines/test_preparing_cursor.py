"""Runs that are added one by one: the cursor that prepares is used again, and what Django does with cursors goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext, override_settings
from django.utils.timezone import is_naive

from django_jobqueue.engines.base import Engine, NewRun
from django_jobqueue.engines.postgresql.preparing import PREPARED_AFTER
from django_jobqueue.models import Run
from tests.engines.conftest import MakeRun

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgresql]

OFTEN = PREPARED_AFTER + 3


@pytest.fixture(autouse=True)
def _session(monkeypatch: pytest.MonkeyPatch, make_run: MakeRun) -> Iterator[None]:
    """One where the statement is prepared, and the server asked whether it is there as often as Django does."""
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "CONN_HEALTH_CHECKS", True)
    for _ in range(OFTEN):
        make_run()
    yield
    connection.close()


class Listener:
    """A wrapper of Django around what is executed: what it heard, and with which cursors of psycopg."""

    def __init__(self, afterwards: Callable[[], object] = lambda: None) -> None:
        self.cursors: list[Any] = []
        self._afterwards = afterwards

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        self.cursors.append(context["cursor"].cursor)
        try:
            return execute(sql, params, many, context)
        finally:
            if len(self.cursors) == 1:
                self._afterwards()


def test_one_cursor_prepares_again_and_again(make_run: MakeRun) -> None:
    listener = Listener()

    with connection.execute_wrapper(listener):
        make_run()
        make_run()

    first, second = listener.cursors
    assert first is second


def test_what_is_logged_has_its_text(make_run: MakeRun) -> None:
    with CaptureQueriesContext(connection) as said:
        make_run(payload_text='{"logged":true}')

    [query] = said.captured_queries
    assert """'{"logged":true}'""" in query["sql"]


def test_a_run_that_is_added_while_another_one_is_gets_a_cursor_of_its_own(make_run: MakeRun) -> None:
    during: list[int] = []
    listener = Listener(afterwards=lambda: during.append(make_run(queue="inner")))

    with connection.execute_wrapper(listener):
        outer = make_run(queue="outer")

    outer_cursor, inner_cursor = listener.cursors
    assert outer_cursor is not inner_cursor
    assert [Run.objects.get(pk=pk).queue for pk in (outer, *during)] == ["outer", "inner"]


def test_a_connection_that_was_lost_is_replaced_before_it_is_used(make_run: MakeRun) -> None:
    other = connections.create_connection("default")
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 60000)", [connection.connection.info.backend_pid])
    other.close()
    connection.close_if_unusable_or_obsolete()  # as before each request

    assert Run.objects.filter(pk=make_run()).exists()


def test_moments_are_read_as_the_project_now_wants_them(engine: Engine) -> None:
    new = NewRun(queue="mail", job="send")

    with override_settings(USE_TZ=False):
        [without_zone] = engine.insert("default", [new])
    [with_zone] = engine.insert("default", [new])

    assert is_naive(without_zone.run_at)
    assert not is_naive(with_zone.run_at)


def test_another_connection_has_a_cursor_of_its_own(make_run: MakeRun) -> None:
    connection.close()

    ids = [make_run() for _ in range(OFTEN)]

    assert Run.objects.filter(pk__in=ids).count() == OFTEN
