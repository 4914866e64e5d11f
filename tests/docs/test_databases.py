"""The settings that the page on databases recommends do what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core import checks
from django.db import connection, connections
from django.db.utils import ConnectionHandler

from django_jobqueue.management.mysql import require_mysql
from tests.docs.pages import DOCS, blocks


@pytest.mark.django_db
def test_the_options_for_sqlite_switch_on_wal(tmp_path: Path) -> None:
    options = recommended("django.db.backends.sqlite3") | {"NAME": tmp_path / "shop.sqlite3"}
    connection = ConnectionHandler({"default": options})["default"]

    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        [mode] = cursor.fetchone()
    connection.close()

    assert mode == "wal"


@pytest.mark.mysql
@pytest.mark.django_db
def test_the_settings_for_mariadb_let_a_worker_start() -> None:
    other = connection.copy("other")
    other.settings_dict = connection.settings_dict | {"OPTIONS": recommended("django.db.backends.mysql")["OPTIONS"]}
    connections["other"] = other
    try:
        require_mysql("other")
    finally:
        other.close()
        del connections["other"]


@pytest.mark.mysql
@pytest.mark.django_db
def test_what_is_silenced_for_mariadb_is_all_that_the_check_says_of_our_models() -> None:
    told = checks.run_checks([apps.get_app_config("django_jobqueue")], databases=["default"])

    assert {message.id for message in told} == {"models.W037"}


def recommended(engine: str) -> dict[str, Any]:
    """The first DATABASES["default"] of the page that is of this *engine*."""
    for block in blocks(DOCS / "databases.md"):
        if block.text.startswith("# settings.py"):
            written: dict[str, Any] = {}
            exec(block.text, written)  # noqa: S102  # our own page
            database: dict[str, Any] = written["DATABASES"]["default"]
            if database["ENGINE"] == engine:
                return database
    raise LookupError(engine)
