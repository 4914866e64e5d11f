"""PostgreSQL tells of new work by NOTIFY."""

from __future__ import annotations

import logging

import pytest
from django.db import connection

from django_jobqueue import queues
from django_jobqueue.engines.postgresql.waking import PostgreSQLWaking
from django_jobqueue.transports import listener as listening
from tests.transports.hearing import heard
from tests.worker.bench import PATIENCE_SECONDS

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgresql]


def test_many_runs_in_a_moment_are_few_words_and_the_last_one_is_told_of() -> None:
    with PostgreSQLWaking("default")._connect() as other:
        other.execute("LISTEN jobqueue")
        for _ in range(100):
            queues.default.add("note", delay_seconds=0)
            last = queues.default.runs().count()
        words = list(other.notifies(timeout=1))

    assert last == 100
    assert 1 <= len(words) < 80


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
