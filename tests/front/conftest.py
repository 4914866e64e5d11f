from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from textwrap import dedent
from typing import Any, TypeAlias
from uuid import uuid4

import psycopg
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection, connections, transaction
from django.test import override_settings
from psycopg import sql
from pytest_django import Settings

from django_jobqueue import job, queues
from django_jobqueue.engines import engine_for
from django_jobqueue.jobs import JobRegistry, registry
from django_jobqueue.models import Run
from django_jobqueue.queue import Queue
from tests.transports.hearing import wait_for_silence

WriteModule: TypeAlias = Callable[[str, str], None]
Columns: TypeAlias = "Callable[[Run], dict[str, Any]]"


def send(to: Any = "nobody", subject: str = "", **more: object) -> None:
    """Send one letter."""


class CallerFails(Exception):
    """What rolls a ``failing_transaction`` back."""


@contextmanager
def failing_transaction(using: str = "default") -> Iterator[None]:
    """A transaction whose caller fails after all is done."""
    with suppress(CallerFails), transaction.atomic(using=using):
        yield
        raise CallerFails


def statements(number: int, *, mariadb: int | None = None, mysql: int) -> int:
    """How many it takes; more on MariaDB, where whoever may meet others at a unique index takes a named lock.

    It is given back beneath Django, which does not count that. More still on MySQL, which must be asked for what it inserted.
    """
    more = {"MariaDB": mariadb, "MySQL": mysql}.get(connection.display_name)
    return number if more is None else more


@pytest.fixture(autouse=True)
def new_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the test begin without a job, as a new process does; what it declares goes with it."""
    monkeypatch.setattr(registry, "__dict__", vars(JobRegistry()))


@pytest.fixture
def mail(settings: Settings) -> Queue:
    """A queue of which ``send`` is a job."""
    settings.JOBQUEUE = {"queues": {"mail": {}}}
    job(queue="mail")(send)
    return queues.mail


@pytest.fixture
def columns() -> Columns:
    """All columns of a run, as the object has them."""
    return lambda run: {field.attname: getattr(run, field.attname) for field in Run._meta.concrete_fields}


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WriteModule]:
    """Write a module that the test, but no other test, can import."""
    monkeypatch.syspath_prepend(str(tmp_path))
    written = set()

    def write_module(name: str, source: str) -> None:
        path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(dedent(source))
        importlib.invalidate_caches()
        written.update({name, name.partition(".")[0]})

    yield write_module
    for name in written:
        sys.modules.pop(name, None)


@pytest.fixture
def new_database(transactional_db: None, tmp_path: Path) -> Iterator[str]:
    """The alias of a second database of the same vendor, of which Django's test cases know nothing."""
    alias = "other"
    with database_name(tmp_path) as name:
        # Django has filled in the defaults of the first one, and keeps all aliases in this mapping.
        connections.settings[alias] = connections.settings["default"] | {"NAME": name}
        try:
            connections[alias].connect()  # Django's test cases let only those connect that were there at their start
            yield alias
        finally:
            wait_for_silence()  # for what is spoken into this database, nobody hears
            connections[alias].close()
            del connections[alias], connections.settings[alias]
            engine_for.cache_clear()


@pytest.fixture
def other_database(new_database: str) -> str:
    """The alias of a second database, with the tables of all models, made in one go."""
    with override_settings(MIGRATION_MODULES=settings.MIGRATION_MODULES | {"django_jobqueue": None}):
        call_command("migrate", database=new_database, run_syncdb=True, verbosity=0)
    return new_database


@contextmanager
def database_name(folder: Path) -> Iterator[str]:
    """The name of a database that nobody else has: a file, or one on the server that the suite runs on."""
    if connection.vendor == "sqlite":
        yield str(folder / "other.sqlite3")
        return
    if connection.vendor == "mysql":
        name = f"other_{uuid4().hex}"
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
            yield name
            cursor.execute(f"DROP DATABASE {name}")
        return
    host, port = connection.settings_dict["HOST"], connection.settings_dict["PORT"]
    name = f"other_{uuid4().hex}"
    with psycopg.connect(host=host, port=port, user="postgres", dbname="postgres", autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield name
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
