"""A worker does not start on a MariaDB or MySQL that it cannot rely on."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management.base import CommandError
from django.db import connection, connections

from django_jobqueue.management.mysql import require_mysql

pytestmark = [pytest.mark.mysql, pytest.mark.django_db(transaction=True)]


def execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def test_the_server_of_the_suite_will_do() -> None:
    require_mysql("default")


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_another_isolation_level_is_refused(level: str) -> None:
    try:
        execute(f"SET SESSION TRANSACTION ISOLATION LEVEL {level}")
        with pytest.raises(CommandError, match=f"works in {level}: limits are exact"):
            require_mysql("default")
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("mariadb", "version", "told"),
    [
        (True, (10, 5, 29), r"is MariaDB 10\.5\.29\. .* MariaDB 10\.6\."),
        (False, (8, 0, 16), r"is MySQL 8\.0\.16\. .* MySQL 8\.0\.17\."),
    ],
)
def test_an_old_server_is_refused(monkeypatch: pytest.MonkeyPatch, mariadb: bool, version: Any, told: str) -> None:
    monkeypatch.setitem(vars(connections["default"]), "mysql_is_mariadb", mariadb)
    monkeypatch.setitem(vars(connections["default"]), "mysql_version", version)

    with pytest.raises(CommandError, match=told):
        require_mysql("default")


@pytest.mark.parametrize("modes", ["", "NO_ENGINE_SUBSTITUTION,ANSI_QUOTES"])
def test_a_server_that_cuts_what_does_not_fit_is_refused(modes: str) -> None:
    try:
        execute(f"SET SESSION sql_mode = '{modes}'")
        with pytest.raises(CommandError, match=r"without strict mode: .* \"SET sql_mode = 'STRICT_TRANS_TABLES'\""):
            require_mysql("default")
    finally:
        connection.close()


@pytest.mark.parametrize("mode", ["STRICT_TRANS_TABLES", "STRICT_ALL_TABLES", "TRADITIONAL"])
def test_any_strict_mode_will_do(mode: str) -> None:
    try:
        execute(f"SET SESSION sql_mode = '{mode}'")
        require_mysql("default")
    finally:
        connection.close()


def test_a_connection_that_lacks_characters_is_refused() -> None:
    try:
        execute("SET NAMES latin1")
        with pytest.raises(CommandError, match=r"is spoken to in latin1, which lacks characters\. Remove charset"):
            require_mysql("default")
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("ENGINE = MyISAM, CHARACTER SET utf8mb4", "keeps our tables in MyISAM, which has no transactions"),
        ("ENGINE = InnoDB, CHARACTER SET latin1", "keeps our tables in latin1, which lacks characters"),
    ],
    ids=["MyISAM", "latin1"],
)
def test_tables_that_cannot_keep_all_that_is_written_are_refused(options: str, told: str) -> None:
    try:
        execute("CREATE DATABASE jobqueue_elsewhere")
        execute("USE jobqueue_elsewhere")
        execute(f"CREATE TABLE jobqueue_run (id bigint) {options}")
        with pytest.raises(CommandError, match=told):
            require_mysql("default")
    finally:
        execute("DROP DATABASE jobqueue_elsewhere")
        connection.close()
