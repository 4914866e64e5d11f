"""The demo, as a newcomer runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psutil
import psycopg
import pytest
from psycopg import sql

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.postgresql
def test_the_demo_works_all_runs_and_can_account_for_them(tmp_path: Path, empty_database: str) -> None:
    """On SQLite, ``make demo`` does, which CI begins with."""
    with demo(tmp_path, DATABASE=empty_database) as program:
        output, _ = program.communicate(timeout=600)

    assert program.returncode == 0, output
    assert_accounted(output)


@pytest.mark.sqlite
def test_a_demo_that_is_stopped_takes_its_programs_with_it(tmp_path: Path) -> None:
    (tmp_path / "shop.sqlite3").write_text("what an earlier demo left")
    with demo(tmp_path) as program:
        assert program.stdout is not None
        next(line for line in program.stdout if "✓ notifications.send_welcome" in line)
        programs = psutil.Process(program.pid).children(recursive=True)
        assert len(programs) == 2

        program.terminate()
        program.communicate(timeout=300)

    assert not any(child.is_running() for child in programs)


def demo(folder: Path, **environment: str) -> subprocess.Popen[str]:
    """Start the demo in *folder*, without what the suite put into the environment."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "JOBQUEUE_"))}
    return subprocess.Popen(
        [sys.executable, "-X", "utf8", "-m", "example_project.demo"],
        cwd=ROOT,
        env=inherited | {"SHOP_FOLDER": str(folder)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )


def assert_accounted(output: str) -> None:
    """Check the last line of the table against the other figures."""
    [row] = re.findall(r"^all((?: +\d+)+)$", output, re.MULTILINE)
    added, completed, retried, dead_lettered, attempts = map(int, row.split())
    [mails] = map(int, re.findall(r"^mails in the folder +(\d+)$", output, re.MULTILINE))
    [invoices] = map(int, re.findall(r"^invoices in the folder +(\d+)$", output, re.MULTILINE))
    [ticks] = map(int, re.findall(r"the schedule sales_ticker had to fire (\d+) times", output))

    assert ticks >= 1
    assert re.search(rf"^default.sum_up_sales +{ticks} +{ticks} ", output, re.MULTILINE)
    # Its last run may still have been on its way.
    assert re.search(r"^sales_ticker +disabled\* .* (completed|running|pending) ", output, re.MULTILINE)
    assert re.search(r"^close_the_day +enabled +0 2 \* \* \* \(Europe/Berlin\)", output, re.MULTILINE)
    assert added == 653 + ticks
    assert completed + dead_lettered == added
    assert retried > 50
    assert dead_lettered > 3
    assert attempts == completed + retried + 4 * dead_lettered
    assert invoices == 25
    assert (
        mails == completed - 25 - 25 - 30 - ticks
    )  # the reservations, the invoices, the new readers of the newsletter


@pytest.fixture
def empty_database() -> Iterator[str]:
    """The URL of a new database on the server that the suite runs on."""
    host = os.environ["JOBQUEUE_TEST_POSTGRESQL_HOST"]
    port = os.environ["JOBQUEUE_TEST_POSTGRESQL_PORT"]
    name = f"demo_{uuid4().hex}"
    with psycopg.connect(host=host, port=port, user="postgres", dbname="postgres", autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        # The folder of a socket fits into no URL; the server that the suite starts listens here, too.
        yield f"postgresql://postgres@{'127.0.0.1' if host.startswith('/') else host}:{port}/{name}"
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
