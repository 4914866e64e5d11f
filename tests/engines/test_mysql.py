"""What only MariaDB and MySQL need: their statements find rows by the right index, compare keys to the letter, and retry."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.db.backends.mysql.features import DatabaseFeatures
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_jobqueue.engines.base import Engine, KeptKey, NewRun
from django_jobqueue.models import QueueState, Run
from tests.engines.conftest import MakeRun, Take
from tests.engines.endings import completed
from tests.racing import colliding
from tests.worker.bench import PATIENCE_SECONDS

pytestmark = [pytest.mark.mysql, pytest.mark.django_db(transaction=True)]


def asked(sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def plan(sql: str) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN FORMAT=TRADITIONAL {sql}")
        columns = [column[0] for column in cursor.description]
        return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]


def test_the_clock_is_that_of_the_server_whatever_its_time_zone(engine: Engine, make_run: MakeRun) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET time_zone = '-03:00'")

    assert abs(engine.now() - datetime.now(UTC)) < timedelta(minutes=5)
    assert make_run() in set(Run.objects.due().values_list("pk", flat=True))


@pytest.mark.parametrize("other", ["key", "KEY", "Key ", "K\u00e9y", "Ke\u0301y"])
def test_locks_are_the_same_only_to_the_letter(engine: Engine, other: str) -> None:
    batch = [NewRun(queue="mail", job="send", unique_lock=lock) for lock in ("Key", other, "Key")]

    first, second, again = engine.insert_unique("default", batch)

    assert first is not None
    assert second is not None
    assert again is None


def test_all_characters_come_back(engine: Engine, make_run: MakeRun, take: Take) -> None:
    text = '"\\ \U0001f680 \U00020bb7 \u00e9 % \n'
    make_run(concurrency_key=text)
    engine.settle([completed(take().ref, error=text)])

    run = Run.objects.get()
    assert (run.concurrency_key, run.error) == (text, text)


def test_every_statement_of_a_turn_goes_by_the_index_that_it_names(engine: Engine, make_run: MakeRun) -> None:
    """It is what a locking read looks at that it locks: a scan would lock the runs of all others."""
    for number in range(200):
        make_run(priority=number % 3)
    with CaptureQueriesContext(connection) as queries:
        claims = engine.claim("default", "mail", worker="a", limit=5, lease_seconds=30)
        engine.renew([(claim.ref, 30.0) for claim in claims])
        engine.settle([completed(claim.ref) for claim in claims])

    plans = 0
    for query in queries:
        if not query["sql"].lstrip().startswith(("SELECT", "UPDATE")) or "jobqueue_run" not in query["sql"]:
            continue
        plans += 1
        for step in plan(query["sql"]):
            if step["table"] in {"run", "jobqueue_run"}:
                assert step["type"] in {"eq_ref", "const", "range", "ref"}, step
                assert step["key"] in {"PRIMARY", "jobqueue_run_claim"}, step
                assert "filesort" not in (step["Extra"] or ""), step
    assert plans >= 7


def test_no_statement_locks_the_rows_of_a_document(engine: Engine) -> None:
    """MySQL refuses to: it cannot lock what JSON_TABLE makes, but where that is in brackets. MariaDB does not mind."""
    locking = [sql for kind in type(engine).mro() for sql in vars(kind).values() if "FOR UPDATE" in str(sql)]

    assert len(locking) >= 9
    for sql in locking:
        for found in re.finditer("JSON_TABLE", sql):
            before = sql[: found.start()]
            assert before.count("(") > before.count(")"), sql


def test_a_claim_locks_what_it_takes_and_nothing_else(engine: Engine, make_run: MakeRun) -> None:
    for number in range(20):
        make_run(priority=number % 2)

    def claim_elsewhere() -> int:
        try:
            return len(engine.claim("default", "mail", worker="b", limit=100, lease_seconds=30))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        assert len(engine.claim("default", "mail", worker="a", limit=5, lease_seconds=30)) == 5
        assert pool.submit(claim_elsewhere).result(PATIENCE_SECONDS) == 15


def test_a_deadlock_is_tried_again_where_the_transaction_is_ours(engine: Engine, make_run: MakeRun, take: Take) -> None:
    make_run()
    claim = take()

    with colliding("UPDATE", 1213, 1205):
        assert claim.ref in engine.settle([completed(claim.ref)])
    assert Run.objects.get().attempts.count() == 1


def test_a_deadlock_in_the_transaction_of_the_caller_is_his_to_repeat(
    engine: Engine, make_run: MakeRun, take: Take
) -> None:
    make_run()
    claim = take()

    with pytest.raises(OperationalError), colliding("UPDATE", 1213), transaction.atomic():
        engine.settle([completed(claim.ref)])
    assert Run.objects.get().state == "running"


def test_who_lost_a_savepoint_lets_go_of_what_it_kept_others_from(engine: Engine) -> None:
    def collide() -> None:
        with engine.alone(["7"]), transaction.atomic():
            asked("ROLLBACK")  # a deadlock takes the savepoints with it
            raise OperationalError(1213, "try restarting transaction")

    with pytest.raises(OperationalError, match="try restarting"), transaction.atomic():
        collide()

    [[is_free]] = asked("SELECT IS_FREE_LOCK('jq:7')")
    assert is_free


def test_the_lock_of_a_queue_is_a_row_that_says_nothing(engine: Engine) -> None:
    with transaction.atomic():
        engine.lock("default", ["mail", "post"])
    with transaction.atomic():
        engine.lock("default", ["post", "mail"])

    states = QueueState.objects.order_by("queue").values_list("queue", "job", "paused_at", "concurrent_jobs")
    assert list(states) == [("mail", "", None, None), ("post", "", None, None)]


def test_the_parked_runs_have_no_index_of_their_own() -> None:
    names = {
        row[0]
        for row in asked(
            "SELECT DISTINCT index_name FROM information_schema.statistics "
            "WHERE table_schema = DATABASE() AND table_name = 'jobqueue_run'"
        )
    }

    assert "jobqueue_run_claim" in names
    assert "jobqueue_run_parked" not in names


def test_it_works_without_returning_as_mysql_does(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DatabaseFeatures, "can_return_rows_from_bulk_insert", False)
    now = timezone.now()

    plain = engine.insert("default", [NewRun(queue="mail", job="send", priority=n, run_at=now) for n in range(5)])
    batch = [NewRun(queue="mail", job="send", unique_lock=lock) for lock in ("b", "a", "b")]
    first, second, third = engine.insert_unique("default", batch)
    keys = [KeptKey(key, "arguments", 1) for key in ("k", "l")]

    assert [Run.objects.get(pk=row.id).priority for row in plain] == list(range(5))
    assert {row.run_at for row in plain} == {now}
    assert first is not None
    assert second is not None
    assert third is None
    assert (Run.objects.get(pk=first.id).unique_lock, Run.objects.get(pk=second.id).unique_lock) == ("b", "a")
    assert engine.insert_unique("default", batch) == [None, None, None]
    assert engine.keep_keys("default", keys[:1], seconds=60) == {"k"}
    assert engine.keep_keys("default", keys, seconds=60) == {"l"}


# --- Packets -----------------------------------------------------------------------------------------------------------

LONG = "\\" * 250_000
"""The server gets two bytes for each; of such it does not take forty at once."""


@pytest.mark.parametrize("returning", [True, False])
def test_more_is_inserted_at_once_than_the_server_takes(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, returning: bool
) -> None:
    returning = returning and connection.features.can_return_rows_from_bulk_insert
    monkeypatch.setattr(DatabaseFeatures, "can_return_rows_from_bulk_insert", returning)
    runs = [NewRun(queue="mail", job="send", priority=number, payload_text=f'"{LONG}"') for number in range(40)]

    rows = engine.insert("default", runs)

    assert [Run.objects.values_list("priority", flat=True).get(pk=row.id) for row in rows] == list(range(40))


def test_more_is_settled_at_once_than_the_server_takes(engine: Engine, make_run: MakeRun) -> None:
    for _ in range(40):
        make_run()
    claims = engine.claim("default", "mail", worker="a", limit=40, lease_seconds=30)

    states = engine.settle([completed(claim.ref, error=f"{claim.id}{LONG}") for claim in claims])

    assert set(states.values()) == {"completed"}
    for run in Run.objects.iterator(chunk_size=10):
        assert run.error == f"{run.pk}{LONG}"
        assert run.attempts.get().error == run.error
