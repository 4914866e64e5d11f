"""PostgreSQL tells of new work by NOTIFY."""

from __future__ import annotations

import logging
import threading

import pytest
from django.db import connection

from django_jobqueue import queues
from django_jobqueue.engines.postgresql.waking import PostgreSQLWaking
from django_jobqueue.transports import listener as listening
from django_jobqueue.transports import publisher as publishing
from tests.transports.hearing import heard
from tests.worker.bench import PATIENCE_SECONDS

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgresql]


def test_many_runs_in_a_moment_are_two_words_of_which_the_second_follows_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rests, over = threading.Event(), threading.Event()

    def rest(seconds: float) -> None:
        rests.set()
        assert over.wait(PATIENCE_SECONDS)

    monkeypatch.setattr(publishing, "sleep", rest)
    with PostgreSQLWaking("default")._connect() as other:
        other.execute("LISTEN jobqueue")
        queues.default.add("note")
        assert rests.wait(PATIENCE_SECONDS), "the first one is not told of at once"
        for _ in range(99):
            queues.default.add("note")
        first = list(other.notifies(timeout=0.1))
        over.set()
        second = list(other.notifies(timeout=PATIENCE_SECONDS, stop_after=1))
        others = list(other.notifies(timeout=0.1))

    assert [len(words) for words in (first, second, others)] == [1, 1, 0]


def test_a_listener_that_lost_its_connection_listens_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listening, "RETRY_SECONDS", 0.01)
    with heard() as woken, caplog.at_level(logging.WARNING):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
        assert woken.wait(PATIENCE_SECONDS), "it does not look for what it may have missed"
        woken.clear()
        queues.default.add("note")
        assert woken.wait(PATIENCE_SECONDS)

    assert "as nobody is heard" in caplog.text


def test_behind_a_pool_that_shares_sessions_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = PostgreSQLWaking("default")
    assert engine.ear([]) is not None

    monkeypatch.setitem(connection.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", True)

    assert engine.ear([]) is None
