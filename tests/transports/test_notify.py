"""PostgreSQL tells of new work by NOTIFY."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import DatabaseError, connection

from django_jobqueue import queues
from django_jobqueue.engines.base import Word
from django_jobqueue.engines.postgresql.waking import PostgreSQLVoice, PostgreSQLWaking
from django_jobqueue.transports import listener as listening
from django_jobqueue.transports import publisher as publishing
from django_jobqueue.transports.publisher import publisher
from tests.transports.hearing import SHORT_SECONDS, heard, wait_for_silence
from tests.worker.bench import PATIENCE_SECONDS, wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgresql]


@pytest.fixture
def voice() -> Iterator[PostgreSQLVoice]:
    """The one of this process, that is ready to speak, and stays so to the end of the test."""

    def is_ready() -> bool:
        with publisher._changed:
            return publisher._voice is not None and not publisher._rests

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publishing, "LINGER_SECONDS", threading.TIMEOUT_MAX)
        queues.default.add("note")
        wait_until(is_ready)
        assert isinstance(publisher._voice, PostgreSQLVoice)
        yield publisher._voice
    wait_for_silence()


@contextmanager
def held(server_process: int) -> Iterator[None]:
    """Let a process of the server do nothing for a while."""
    os.kill(server_process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server_process, signal.SIGCONT)


def next_word(listening: Any) -> str:
    """What this connection hears next. Words come in the order in which they were said."""
    [notify] = listening.notifies(timeout=PATIENCE_SECONDS, stop_after=1)
    return str(notify.payload)


def wal_writes(connection: Any) -> int:
    """How often the server process of this connection has written its log, because a commit had to wait for that."""
    connection.execute("SELECT pg_stat_force_next_flush()")
    [[writes]] = connection.execute(
        "SELECT sum(writes) FROM pg_stat_get_backend_io(pg_backend_pid()) WHERE object = 'wal'"
    ).fetchall()
    return int(writes)


def test_many_runs_in_a_moment_are_two_words_of_which_the_second_follows_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rests, over = threading.Event(), threading.Event()

    def rest(_: float) -> None:
        rests.set()
        assert over.wait(PATIENCE_SECONDS)

    monkeypatch.setattr(publishing, "sleep", rest)
    with PostgreSQLWaking("default")._connect() as other:
        other.execute("LISTEN jobqueue")
        queues.default.add("note")
        assert rests.wait(PATIENCE_SECONDS), "the first one is not told of at once"
        for _ in range(99):
            queues.default.add("note")
        first = next_word(other)
        over.set()
        second = next_word(other)
        wait_for_silence()
        with connection.cursor() as cursor:
            cursor.execute("NOTIFY jobqueue, 'the end'")
        third = next_word(other)

    word = json.dumps(Word("default", "default"))
    assert [first, second, third] == [word, word, "the end"]


def test_a_listener_that_lost_its_connection_listens_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listening, "RETRY_SECONDS", 0.01)
    with heard() as woken, caplog.at_level(logging.WARNING):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND query LIKE 'LISTEN%'"
            )
        assert woken.wait(PATIENCE_SECONDS), "it does not look for what it may have missed"
        woken.clear()
        queues.default.add("note")
        assert woken.wait(PATIENCE_SECONDS)

    assert "The connection that tells of new work is lost" in caplog.text


def test_behind_a_pool_that_shares_sessions_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = PostgreSQLWaking("default")
    assert engine.ear([]) is not None

    monkeypatch.setitem(connection.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", True)

    assert engine.ear([]) is None


@pytest.mark.usefixtures("voice")
def test_whoever_adds_a_run_tells_of_it_himself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread would wait for its turn, while this one computes."""
    tellers: list[threading.Thread] = []
    say = PostgreSQLVoice.say

    def recorded(voice: PostgreSQLVoice, words: Iterable[Word]) -> None:
        tellers.append(threading.current_thread())
        say(voice, words)

    monkeypatch.setattr(PostgreSQLVoice, "say", recorded)
    queues.default.add("note")

    assert tellers[0] is threading.current_thread()


def test_who_tells_waits_for_no_answer_and_what_comes_meanwhile_is_told_later(voice: PostgreSQLVoice) -> None:
    with heard("mail") as woken:
        with held(voice._server.backend_pid):
            queues.default.add("note")
            queues.mail.add("note")
            assert not woken.wait(SHORT_SECONDS)
        assert woken.wait(PATIENCE_SECONDS)


def test_a_voice_that_lost_its_connection_gets_another_one(
    voice: PostgreSQLVoice, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 60000)", [voice._server.backend_pid])
        queues.default.add("note")
        wait_until(lambda: not publisher._has_thread)

    with heard() as woken:
        queues.default.add("note")
        assert woken.wait(PATIENCE_SECONDS)

    assert "Workers could not be told of new work" in caplog.text


def test_what_cannot_be_said_is_an_error() -> None:
    with PostgreSQLWaking("default").voice() as speaking:
        speaking.say([Word("default", "x" * 8000)])
        with pytest.raises(DatabaseError, match="payload string too long"):
            wait_until(speaking.has_said)


def test_a_commit_of_who_adds_waits_for_the_disk_and_a_word_does_not() -> None:
    with PostgreSQLWaking("default")._connect() as server:
        speaking, before = PostgreSQLVoice(server), wal_writes(server)
        for _ in range(5):
            speaking.say([Word("default", "default")])
            wait_until(speaking.has_said)
        assert wal_writes(server) < before + 5  # one may be for others, who have left it no room

    connection.ensure_connection()
    adding = connection.connection
    before = wal_writes(adding)

    def has_written() -> bool:
        """After another commit: others may have written it with theirs."""
        queues.default.add("note")
        return wal_writes(adding) > before

    wait_until(has_written)
