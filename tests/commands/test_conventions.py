"""What holds for each of our commands: where it cannot do what it was asked, it says why on one line and exits with 1."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest
from django.core.management import CommandError, load_command_class
from django.db import connection
from pytest_django import Settings

from django_jobqueue.management.command import JobQueueCommand, operator
from tests.commands.conftest import command
from tests.worker.test_startup import TOLD, database_that_is_away, database_without_tables

NAMES = [module.name for module in iter_modules(import_module("django_jobqueue.management.commands").__path__)]


def manage(
    *arguments: str, environment: dict[str, str] | None = None, stdout: int = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    """Call ``manage.py`` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "django", *arguments],
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.acceptance.settings"} | (environment or {}),
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_command_has_a_help_of_one_sentence_at_least(name: str) -> None:
    loaded = load_command_class("django_jobqueue", name)

    assert isinstance(loaded, JobQueueCommand)
    assert loaded.help.endswith(".")


@pytest.mark.parametrize("name", NAMES)
def test_each_argument_of_a_command_is_explained(name: str) -> None:
    parser = load_command_class("django_jobqueue", name).create_parser("manage.py", name)

    for action in parser._actions:
        assert action.help, action.dest


def test_without_tables_a_command_ends_with_one_line(tmp_path: Path) -> None:
    done = manage("resumequeue", "default", environment=database_without_tables(tmp_path))

    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"CommandError: {TOLD}\n")


def test_with_a_database_that_is_away_a_command_ends_with_one_line(tmp_path: Path) -> None:
    done = manage("resumequeue", "default", environment=database_that_is_away(tmp_path))

    assert done.returncode == 1
    assert done.stderr.startswith("CommandError: Database 'default' does not answer: ")
    assert done.stderr.count("\n") == 1


def test_settings_that_do_not_exist_are_named_before_anything_of_ours_is_loaded() -> None:
    done = manage("runjobs", environment={"DJANGO_SETTINGS_MODULE": "shop.setings"})

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'shop'"
    assert "django_jobqueue" not in done.stderr


def test_settings_that_cannot_work_are_told_line_by_line(settings: Settings) -> None:
    settings.JOBQUEUE = {"queus": {}, "payload_max_bytes": 0}

    with pytest.raises(CommandError) as caught:
        command("resumequeue", "default")

    assert str(caught.value).splitlines() == [
        "JOBQUEUE: unknown option 'queus'. Did you mean 'queues'?",
        'JOBQUEUE["payload_max_bytes"]: must be a whole number from 1 to 67108864, got 0',
    ]


@pytest.fixture
def without_rights(transactional_db: None) -> Iterator[None]:
    """The connection is that of a user who may do nothing. All databases of the server have their users in common."""
    nobody = connection.ops.quote_name(f"nobody of {connection.settings_dict['NAME']}")
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {nobody}")
        cursor.execute(f"SET ROLE {nobody}")
        yield
        cursor.execute("RESET ROLE")
        cursor.execute(f"DROP ROLE {nobody}")


@pytest.mark.postgresql
@pytest.mark.usefixtures("without_rights")
@pytest.mark.parametrize("arguments", [["pausequeue", "default"], ["runjobs", "--drain"]])
def test_a_user_without_rights_is_told_what_the_database_says(arguments: list[str]) -> None:
    with pytest.raises(CommandError) as caught:
        command(*arguments)

    assert str(caught.value).startswith("The database refused: permission denied for table ")
    assert "\n" not in str(caught.value)


@pytest.mark.django_db(transaction=True)
def test_a_reader_who_goes_away_causes_no_traceback() -> None:
    read, write = os.pipe()
    os.close(read)

    done = manage("resumequeue", "default", stdout=write)

    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_user_without_a_name_is_told_by_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr("getpass.getuser", nameless)

    assert operator() == f"command:{os.getuid()}"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["runjobs", "--concurency", "4"], "unrecognized arguments: --concurency. Did you mean '--concurrency'?"),
        (["pausequeue", "mail", "--reson=x"], "unrecognized arguments: --reson=x. Did you mean '--reason'?"),
        (["showjobs", "--xyz"], "unrecognized arguments: --xyz."),
        (["showrun", "1", "2"], "unrecognized arguments: 2."),
        (["runjobs", "--superviced"], "unrecognized arguments: --superviced. Did you mean '--strict'?"),
        (["canceljobs", "--state=runing"], "argument --state: invalid choice: 'runing'. Did you mean 'running'?"),
        (
            ["setlimit", "mail", "rate_limt", "1/s"],
            "argument limit: invalid choice: 'rate_limt'. Did you mean 'rate_limit'?",
        ),
        (["showrun", "1", "--format=x"], "argument --format: invalid choice: 'x'. Known: csv, json, text."),
    ],
)
def test_a_misspelt_word_of_the_command_line_is_answered_with_the_nearest(arguments: list[str], told: str) -> None:
    with pytest.raises(CommandError) as caught:
        command(*arguments)

    assert str(caught.value) == f"Error: {told}"
