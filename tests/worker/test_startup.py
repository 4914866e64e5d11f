"""What a worker looks at before it starts, and what it says where it cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, connections
from django.db.backends.sqlite3.base import DatabaseWrapper
from django.db.migrations.recorder import MigrationRecorder

from django_jobqueue.management import startup
from django_jobqueue.management.startup import require_isolation, require_tables
from tests.acceptance.programs import WorkerProcess

TOLD = "The tables in database 'default' are not those of this release. Run: manage.py migrate django_jobqueue"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[str]:
    """The alias of a database without any tables, beside the default."""
    settings = connections["default"].settings_dict | {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(tmp_path / "elsewhere.sqlite3"),
        "OPTIONS": {},
    }
    connections["elsewhere"] = DatabaseWrapper(settings, "elsewhere")
    yield "elsewhere"
    connections["elsewhere"].close()
    del connections["elsewhere"]


def test_a_liveness_file_cannot_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=f"--liveness-file: must be a file, and '{tmp_path}' is a folder."):
        call_command("runjobs", f"--liveness-file={tmp_path}", "--drain")


def test_a_liveness_file_must_be_in_a_folder_that_is_there(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    with pytest.raises(
        CommandError, match=f"--liveness-file: must be in a folder that exists, and '{nowhere}' does not."
    ):
        call_command("runjobs", f"--liveness-file={nowhere / 'alive'}", "--drain")


@pytest.mark.django_db
def test_tables_of_this_release_are_enough() -> None:
    require_tables("default")


@pytest.mark.django_db
def test_a_migration_that_was_not_run_yet_is_told() -> None:
    recorder = MigrationRecorder(connection)
    last = recorder.migration_qs.filter(app="django_jobqueue").order_by("name").last()
    assert last is not None
    recorder.record_unapplied("django_jobqueue", last.name)

    with pytest.raises(CommandError) as caught:
        require_tables("default")

    assert str(caught.value) == TOLD


@pytest.mark.django_db
def test_tables_of_a_later_release_are_left_to_it() -> None:
    MigrationRecorder(connection).record_applied("django_jobqueue", "9999_from_the_future")

    require_tables("default")


@pytest.mark.django_db
def test_migrations_of_other_apps_are_none_of_our_business() -> None:
    MigrationRecorder(connection).migration_qs.filter(app="admin").delete()

    require_tables("default")


@pytest.mark.django_db
def test_a_project_that_migrates_no_tables_of_ours_has_them_from_elsewhere(elsewhere: str, settings: Any) -> None:
    settings.MIGRATION_MODULES = {"django_jobqueue": None}

    require_tables(elsewhere)


@pytest.mark.django_db
def test_another_database_is_named_in_the_command_to_run(elsewhere: str) -> None:
    with pytest.raises(CommandError) as caught:
        require_tables(elsewhere)

    assert str(caught.value) == (
        "The tables in database 'elsewhere' are not those of this release. "
        "Run: manage.py migrate django_jobqueue --database elsewhere"
    )


def database_without_tables(folder: Path) -> dict[str, str]:
    """What leads to it: where there is a server, the one that each has."""
    names = {"sqlite": str(folder / "empty.sqlite3"), "postgresql": "postgres", "mysql": "mysql"}
    return {"JOBQUEUE_TEST_DATABASE_NAME": names[connection.vendor]}


def database_that_is_away(folder: Path) -> dict[str, str]:
    nowhere = folder / "nowhere"
    names = {"sqlite": str(nowhere / "db.sqlite3"), "postgresql": "jobqueue", "mysql": "jobqueue"}
    return {
        "JOBQUEUE_TEST_DATABASE_NAME": names[connection.vendor],
        "JOBQUEUE_TEST_POSTGRESQL_HOST": str(nowhere),
        "JOBQUEUE_TEST_MYSQL_HOST": str(nowhere),
    }


@pytest.mark.sqlite  # which tables are there, is asked of each database above
@pytest.mark.parametrize("arguments", [[], ["--processes=2"], pytest.param(["--reload"], marks=pytest.mark.slow)])
def test_without_tables_the_command_ends_with_one_line(tmp_path: Path, arguments: list[str]) -> None:
    with WorkerProcess(arguments, tmp_path, environment=database_without_tables(tmp_path)) as worker:
        code = worker.wait()

    assert code == 1
    assert worker.lines == [f"CommandError: {TOLD}"]


def test_with_a_database_that_is_away_the_command_ends_at_once(tmp_path: Path) -> None:
    with WorkerProcess([], tmp_path, environment=database_that_is_away(tmp_path)) as worker:
        code = worker.wait()

    assert code == 1
    assert worker.lines[0].startswith("CommandError: Database 'default' does not answer: ")
    assert "Traceback" not in worker.output
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_is_away_is_told_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(connection: object) -> None:
        raise OperationalError('connection to "db" failed: refused\n\tIs the server running?\n')

    monkeypatch.setattr(startup, "MigrationRecorder", refuse)

    with pytest.raises(CommandError) as caught:
        require_tables("default")

    assert str(caught.value) == (
        "Database 'default' does not answer: connection to \"db\" failed: refused Is the server running?"
    )


# --- Isolation -----------------------------------------------------------------------------------------------------


@pytest.fixture
def stricter(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[dict[str, Any]], str]]:
    """Make an alias of the same database with options of its own."""
    aliases: list[str] = []

    def stricter(options: dict[str, Any]) -> str:
        other = connection.copy("stricter")
        other.settings_dict = connection.settings_dict | {"OPTIONS": connection.settings_dict["OPTIONS"] | options}
        connections["stricter"] = other
        aliases.append("stricter")
        return "stricter"

    yield stricter
    for alias in aliases:
        connections[alias].close()
        del connections[alias]


@pytest.mark.django_db(transaction=True)
def test_the_isolation_that_databases_have_by_default_is_right() -> None:
    require_isolation("default")


@pytest.mark.django_db(transaction=True)
@pytest.mark.postgresql
@pytest.mark.parametrize(
    ("options", "level"),
    [
        ({"isolation_level": 3}, "REPEATABLE READ"),
        ({"isolation_level": 4}, "SERIALIZABLE"),
        ({"options": "-c default_transaction_isolation=serializable"}, "SERIALIZABLE"),
    ],
    ids=str,
)
def test_a_worker_does_not_start_where_limits_would_not_be_exact(
    stricter: Callable[[dict[str, Any]], str], options: dict[str, Any], level: str
) -> None:
    alias = stricter(options)

    with pytest.raises(
        CommandError, match=f"Database 'stricter' works in {level}: limits are exact in READ COMMITTED only."
    ):
        require_isolation(alias)
