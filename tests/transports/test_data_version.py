"""SQLite is looked at for what others have written: when the system tells of writes, or now and then."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
from django.db import connection

from django_jobqueue.engines.base import Word
from django_jobqueue.engines.sqlite import waking
from django_jobqueue.engines.sqlite.waking import SQLiteEar
from tests.transports.hearing import SHORT_SECONDS, heard
from tests.worker.bench import PATIENCE_SECONDS

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sqlite]


def connected(file: Path) -> sqlite3.Connection:
    """Whoever finds the file locked waits, however long somebody else takes."""
    return sqlite3.connect(file, timeout=PATIENCE_SECONDS, check_same_thread=False)


@pytest.fixture(params=["wal", "delete", "truncate", "persist"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A database that keeps its journal in one of these ways, and that somebody has open."""
    path = tmp_path / "others.sqlite3"
    with closing(connected(path)) as others:
        others.execute(f"PRAGMA journal_mode = {request.param}")
        others.execute("CREATE TABLE written (id int)")
        yield path


def write(file: Path) -> None:
    with closing(connected(file)) as writer, writer:
        writer.execute("INSERT INTO written VALUES (1)")


class RestingEar(SQLiteEar):
    """Tells when it has looked, and looks no more by itself."""

    def __init__(self, reader: sqlite3.Connection) -> None:
        super().__init__(reader, [Word("default", "mail")], lambda word: True)
        self.rests, self.told = Event(), Event()

    def _rest(self) -> None:
        self.rests.set()
        super()._rest()


@contextmanager
def listening(file: Path) -> Iterator[RestingEar]:
    """An ear that is told when it has heard of a write to *file*."""
    with closing(connected(file)) as reader:
        ear = RestingEar(reader)

        def listen() -> None:
            while ear.hear():
                ear.told.set()

        thread = Thread(target=listen)
        thread.start()
        try:
            assert ear.rests.wait(PATIENCE_SECONDS), "it did not look"
            yield ear
        finally:
            ear.close()
            write(file)  # so that it need not look by itself to see that it is closed
            thread.join()
            ear.end()


def test_what_others_write_is_not_heard_as_work() -> None:
    with heard() as woken:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE jobqueue_written (id int)")
            cursor.execute("DROP TABLE jobqueue_written")
        assert not woken.wait(SHORT_SECONDS)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of writes")
def test_a_commit_is_heard_without_looking_for_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waking, "QUIET_SECONDS", 2 * PATIENCE_SECONDS)
    with listening(file) as ear:
        assert ear._writes is not None
        write(file)
        assert ear.told.wait(PATIENCE_SECONDS)


@pytest.mark.parametrize("platform", ["linux", "plan9"])
def test_a_commit_is_heard_whether_the_system_tells_of_it_or_not(
    file: Path, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    with listening(file) as ear:
        write(file)
        assert ear.told.wait(PATIENCE_SECONDS)


def test_what_is_rolled_back_is_not_heard(file: Path) -> None:
    with listening(file) as ear:
        with closing(connected(file)) as writer:
            writer.execute("INSERT INTO written VALUES (1)")
            writer.rollback()
        assert not ear.told.wait(SHORT_SECONDS)
