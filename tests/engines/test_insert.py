from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, tzinfo
from datetime import timezone as fixed_offset
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection, transaction
from django.utils import timezone

from django_jobqueue.engines.base import Engine, NewRun
from django_jobqueue.engines.postgresql.database import PostgreSQLDatabase
from django_jobqueue.models import Run
from django_jobqueue.states import Delivery, State
from tests.engines.conftest import MakeRun, Row, Take

pytestmark = pytest.mark.django_db

NEW_YEAR = datetime(2031, 1, 1, tzinfo=UTC)
SOON = datetime(2031, 1, 1, 0, 0, 30, 250, tzinfo=UTC)

AWKWARD = [
    {"name": "Žofie Müller, 北京, 🎉"},
    {"text": """it's "quoted" \\ 100 % of %s and %(name)s; -- DROP TABLE"""},
    {"lines": "one\ntwo\r\n\tthree", "nested": {"empty": [{}, [], None, True, 0.5, -1, ""]}},
    {},
]


def test_inserted_runs_come_back_in_the_order_given(engine: Engine) -> None:
    inserted = engine.insert("default", [NewRun(queue="mail", job=f"job-{n}", priority=-n) for n in range(300)])

    ids = [run.id for run in inserted]
    assert ids == sorted(set(ids))
    assert [Run.objects.get(pk=run_id).job for run_id in ids[::50]] == [f"job-{n}" for n in range(300)][::50]


def test_a_new_run_is_due_at_once_by_the_clock_of_the_database(engine: Engine, row: Row) -> None:
    before = timezone.now()
    [inserted] = engine.insert("default", [NewRun(queue="mail", job="send")])

    run = row(inserted.id)
    assert inserted == (run.pk, run.run_at, run.created_at, None)
    assert before - timedelta(seconds=5) < run.created_at == run.run_at < timezone.now() + timedelta(seconds=5)


def test_the_runs_of_one_batch_have_one_creation_time(engine: Engine) -> None:
    inserted = engine.insert("default", [NewRun(queue="mail", job="send")] * 3)

    assert len({run.created_at for run in inserted}) == 1


def test_a_delay_is_counted_from_now(engine: Engine) -> None:
    [inserted] = engine.insert("default", [NewRun(queue="mail", job="send", delay_seconds=90.5)])

    assert inserted.run_at - inserted.created_at == timedelta(seconds=90.5)


def test_a_delay_is_added_to_the_time_to_run_at(engine: Engine, row: Row) -> None:
    new_year = datetime(2031, 1, 1, tzinfo=UTC)
    [inserted] = engine.insert("default", [NewRun(queue="mail", job="send", run_at=new_year, delay_seconds=1.25)])

    assert inserted.run_at == row(inserted.id).run_at == new_year + timedelta(seconds=1.25)


@pytest.mark.parametrize("offset", [timedelta(hours=-9, minutes=-30), timedelta(0), timedelta(hours=14)], ids=str)
def test_a_time_in_any_zone_is_the_same_moment(engine: Engine, row: Row, offset: timedelta) -> None:
    moment = datetime(2031, 1, 1, 0, 30, 15, 123456, tzinfo=UTC)
    there = moment.astimezone(fixed_offset(offset))

    [inserted] = engine.insert("default", [NewRun(queue="mail", job="send", run_at=there)])

    assert inserted.run_at == row(inserted.id).run_at == moment


@pytest.mark.parametrize("payload", AWKWARD, ids=["alphabets", "quotes", "whitespace", "empty"])
def test_a_payload_comes_back_as_it_was(make_run: MakeRun, take: Take, row: Row, payload: dict[str, object]) -> None:
    run_id = make_run(payload_text=json.dumps(payload, ensure_ascii=False))

    assert row(run_id).payload == payload
    assert json.loads(take().payload) == payload


@pytest.mark.parametrize("name", ["Päckchen", "it's", '100 % "sure" %s', "a:b"])
def test_names_may_hold_any_letters(engine: Engine, row: Row, name: str) -> None:
    [inserted] = engine.insert(name, [NewRun(queue=name, job=name)])

    [claim] = engine.claim(name, name, worker=name, limit=1, lease_seconds=30)
    run = row(inserted.id)
    assert (claim.queue, claim.job) == (name, name)
    assert (run.namespace, run.queue, run.job, run.worker) == (name, name, name, name)


def test_every_field_of_a_new_run_is_stored(make_run: MakeRun, row: Row) -> None:
    first = make_run()
    fields = {"version": 7, "priority": -3, "max_attempts": 9, "delivery": Delivery.AT_MOST_ONCE, "replay_of": first}
    fields |= {"timeout_seconds": 2.5}
    labels = {"tags": ("a", "é"), "tenant": "acme", "user": "7", "trace_id": "t1", "metadata_text": '{"from": ["you"]}'}

    run = row(make_run("shop", queue="mail", job="send", **fields, **labels))

    assert (run.namespace, run.queue, run.job, run.version) == ("shop", "mail", "send", 7)
    assert (run.priority, run.max_attempts, run.delivery) == (-3, 9, Delivery.AT_MOST_ONCE)
    assert run.timeout_seconds == 2.5
    assert (run.replay_of_id, row(first).replay_of_id) == (first, None)
    assert (run.tags, run.tenant, run.user, run.trace_id) == (["a", "é"], "acme", "7", "t1")
    assert run.metadata == {"from": ["you"]}


def test_runs_of_one_batch_may_have_different_fields(engine: Engine) -> None:
    given: list[dict[str, Any]] = [{"tenant": "acme"}, {}, {"trace_id": "t1", "max_attempts": 2}, {"expires_at": SOON}]

    engine.insert("default", [NewRun(queue="mail", job="send", **fields) for fields in given])

    names = ("tenant", "trace_id", "max_attempts", "expires_at")
    assert [*Run.objects.order_by("id").values(*names)] == [dict.fromkeys(names) | fields for fields in given]


def test_runs_that_differ_in_their_payloads_alone_keep_their_places_among_others(engine: Engine) -> None:
    jobs = ["send", "send", "call", "send", "call", "call"]
    news = [NewRun(queue="mail", job=job, payload_text=f'{{"n": {n}}}') for n, job in enumerate(jobs)]

    inserted = engine.insert("default", news)

    runs = Run.objects.in_bulk([run.id for run in inserted])
    assert [(runs[run.id].job, runs[run.id].payload) for run in inserted] == [
        (job, {"n": n}) for n, job in enumerate(jobs)
    ]


@pytest.mark.parametrize(
    ("fields", "expires_at"),
    [
        ({"run_at": NEW_YEAR}, None),
        ({"run_at": NEW_YEAR, "expires_at": SOON}, SOON),
        ({"run_at": NEW_YEAR, "expires_after_seconds": 1.5}, NEW_YEAR + timedelta(seconds=1.5)),
        ({"run_at": NEW_YEAR, "delay_seconds": 60, "expires_after_seconds": 1}, NEW_YEAR + timedelta(seconds=61)),
        ({"run_at": NEW_YEAR, "expires_at": SOON, "expires_after_seconds": 1}, SOON),
    ],
)
def test_a_run_expires_at_its_time_or_so_long_after_it_is_due(
    engine: Engine, row: Row, fields: dict[str, Any], expires_at: datetime | None
) -> None:
    [inserted] = engine.insert("default", [NewRun(queue="mail", job="send", **fields)])

    assert inserted.expires_at == row(inserted.id).expires_at == expires_at


def test_a_run_that_is_due_at_once_expires_so_long_from_now(engine: Engine) -> None:
    [inserted] = engine.insert("default", [NewRun(queue="mail", job="send", expires_after_seconds=90.5)])

    assert inserted.expires_at == inserted.created_at + timedelta(seconds=90.5)


def test_a_new_run_has_nothing_behind_it(make_run: MakeRun, row: Row) -> None:
    run = row(make_run())

    assert run.state == State.PENDING
    assert (run.attempt, run.failures, run.crashes, run.snoozes, run.releases) == (0, 0, 0, 0, 0)
    assert (run.reason, run.worker, run.lease_until, run.started_at, run.finished_at) == (None,) * 5
    assert (run.result, run.error, run.max_attempts, run.blocked_on, run.cancel_requested_at) == (None,) * 5
    assert (run.expires_at, run.tags, run.tenant, run.user, run.trace_id, run.metadata) == (None,) * 6


def test_inserting_nothing_answers_nothing(engine: Engine) -> None:
    assert engine.insert("default", []) == []
    assert not Run.objects.exists()


def test_an_insert_that_is_rolled_back_leaves_nothing(make_run: MakeRun) -> None:
    with transaction.atomic():
        make_run()
        transaction.set_rollback(True)

    assert not Run.objects.exists()


@pytest.mark.postgresql
@pytest.mark.parametrize("zone", [None, UTC, ZoneInfo("Europe/Berlin")], ids=str)
def test_a_moment_is_read_as_django_reads_it(
    engine: PostgreSQLDatabase, monkeypatch: pytest.MonkeyPatch, zone: tzinfo | None
) -> None:
    sql = "SELECT '2031-10-26 02:30:00.00005+01'::timestamptz"
    monkeypatch.setattr(connection, "timezone", zone)

    [[read]] = engine.fetch(sql, {})

    with connection.cursor() as cursor:
        cursor.execute(sql)
        [expected] = cursor.fetchone()
    assert (read, read.tzinfo) == (expected, zone)
