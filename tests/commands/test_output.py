"""What commands print can be read by people and by programs, and gives no orders to a terminal or a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from pytest_django import Settings

from django_jobqueue.management.output import as_csv, as_json, as_table
from django_jobqueue.management.times import local
from django_jobqueue.printable import encodable, printable, printable_lines

pytestmark = pytest.mark.sqlite  # no database is asked

NAIVE = datetime(2033, 7, 1, 9, 0)  # noqa: DTZ001


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Grüße, 世界 ☕", "Grüße, 世界 ☕"),
        ("red \x1b[31m", r"red \x1b[31m"),
        ("one\r\ntwo\tthree", r"one\r\ntwo\tthree"),
        ("\x00\x7f\x9b1m", r"\x00\x7f\x9b1m"),
        ("\u202egpj.exe\u2066", r"\u202egpj.exe\u2066"),
        ("a\u2028b\u2029c", r"a\u2028b\u2029c"),
        ("\ud800", r"\ud800"),
        (r"\x1b", r"\x1b"),
    ],
)
def test_what_a_terminal_would_obey_is_told_as_text(text: str, told: str) -> None:
    assert printable(text) == told


def test_lines_may_stay_lines() -> None:
    assert printable_lines("one\n\ttwo\r\x1b[2J\u202e") == "one\n\ttwo\\r\\x1b[2J\\u202e"


def test_what_the_output_cannot_write_is_replaced() -> None:
    assert encodable("✓ é", io.TextIOWrapper(io.BytesIO(), encoding="latin-1")) == "? é"
    assert encodable("✓ é", io.StringIO()) == "✓ é"


def test_a_table_has_straight_columns_and_numbers_on_the_right() -> None:
    lines = as_table(["queue", "pending", "error"], [["mail", 12_345, "no"], ["reports", 7, ""], ["a", None, "x"]])

    assert lines == [
        "queue    pending  error",
        "mail      12,345  no",
        "reports        7",
        "a                 x",
    ]


def test_the_last_column_is_cut_to_the_width_of_the_terminal() -> None:
    lines = as_table(["run", "error"], [[1, "x" * 100], [2, "y"]])

    assert [len(line) for line in lines] == [10, 60, 6]
    assert lines[1].endswith("x…")


def test_the_last_column_is_left_some_room_however_wide_the_others_are() -> None:
    [_, line] = as_table(["job", "error"], [["j" * 200, "x" * 100]])

    assert len(line) == 200 + 2 + 20


def test_a_table_without_rows_is_its_titles() -> None:
    assert as_table(["queue", "jobs"], []) == ["queue  jobs"]


def test_a_table_gives_no_orders_to_the_terminal() -> None:
    assert as_table(["error"], [["a\x1b[31m\nb"]])[1] == r"a\x1b[31m\nb"


def test_json_is_one_document_with_utc_times() -> None:
    moment = datetime(2033, 7, 1, 9, 0, 0, 500, tzinfo=UTC)

    text = as_json({"id": 2**62, "at": moment, "day": date(2033, 7, 1), "sum": Decimal("1.5"), "text": "é\x9b"})

    assert text.isascii()
    assert json.loads(text) == {
        "id": 2**62,
        "at": "2033-07-01T09:00:00.000500+00:00",
        "day": "2033-07-01",
        "sum": "1.5",
        "text": "é\x9b",
    }


def test_naive_times_are_those_of_the_project(settings: Settings) -> None:
    settings.TIME_ZONE = "Europe/Berlin"

    assert json.loads(as_json(NAIVE)) == "2033-07-01T07:00:00+00:00"
    assert local(NAIVE) == "2033-07-01 09:00:00"
    assert local(datetime(2033, 7, 1, 7, 0, tzinfo=UTC)) == "2033-07-01 09:00:00 CEST"


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("plain", "plain"),
        ("two\nlines", r"two\nlines"),
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("  =1", "'  =1"),
        ("\t=1", r"\t=1"),
        ('"quoted", with comma', '"quoted", with comma'),
        (-1, "-1"),
        (None, ""),
        (True, "True"),
        ({"a": "=1"}, '{"a": "=1"}'),
        ([1, 2], "[1, 2]"),
        (datetime(2033, 7, 1, tzinfo=UTC), "2033-07-01T00:00:00+00:00"),
    ],
)
def test_no_cell_is_a_formula_to_a_spreadsheet(value: Any, cell: str) -> None:
    text = as_csv([{"a": value, "b": "x"}], ["a", "b"])

    assert list(csv.reader(io.StringIO(text))) == [["a", "b"], [cell, "x"]]
    assert text.count("\n") == 2
