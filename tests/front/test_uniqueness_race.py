"""Uniqueness holds among callers who add the same at the same moment."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import OperationalError, connection, connections, transaction

from django_jobqueue import job
from django_jobqueue.engines import engine_for
from django_jobqueue.models import Run
from django_jobqueue.queue import Queue
from tests.engines.endings import completed
from tests.front.conftest import send
from tests.listening import Listener
from tests.racing import Race, racing, wait_for_the_lock
from tests.worker.bench import PATIENCE_SECONDS

pytestmark = pytest.mark.django_db(transaction=True)

ADDERS = 8


@pytest.fixture
def race() -> Iterator[Race]:
    with racing(ADDERS) as race:
        yield race


def unique(reach: Any = "live", **options: Any) -> None:
    job(queue="mail", unique=reach, **options)(send)


@pytest.mark.parametrize("reach", ["pending", "live", 86400 * 366])
def test_of_all_who_add_the_same_one_adds_it_and_all_get_it(mail: Queue, race: Race, reach: Any) -> None:
    unique(reach)

    for n in range(10):
        runs = race(lambda _, to=str(n): mail.add("send", {"to": to}))  # type: ignore[misc]

        assert sorted(run.added for run in runs) == [False] * (ADDERS - 1) + [True]
        assert {run.pk for run in runs} == {Run.objects.get(payload__to=str(n)).pk}


def test_nobodys_transaction_is_broken_by_a_duplicate(mail: Queue, race: Race) -> None:
    unique()

    def add(number: int) -> bool:
        with transaction.atomic():
            Group.objects.create(name=f"before {number}")
            added = mail.add("send").added
            Group.objects.create(name=f"after {number}")
        return added

    assert sorted(race(add)) == [False] * (ADDERS - 1) + [True]
    assert (Group.objects.count(), Run.objects.count()) == (2 * ADDERS, 1)


def test_batches_with_the_same_keys_in_any_order_do_not_block_each_other(mail: Queue, race: Race) -> None:
    unique()
    keys = [str(n) for n in range(100)]

    def add(_: int) -> dict[str, int]:
        mine = random.sample(keys, len(keys))
        ids = mail.bulk_add({"job": "send", "payload": {"to": key}} for key in mine)
        return dict(zip(mine, ids, strict=True))

    answers = race(add)

    there = {run.payload["to"]: run.pk for run in Run.objects.all()}
    assert len(there) == Run.objects.count() == len(keys)
    assert all(answer == there for answer in answers)


@pytest.mark.parametrize("reach", ["pending", "live", 86400 * 366])
def test_of_all_who_replace_each_other_the_last_stays(mail: Queue, race: Race, reach: Any) -> None:
    unique(reach, unique_key="to")

    for n in range(5):
        payload = {"to": str(n)}
        runs = race(lambda number, p=payload: mail.add("send", p | {"subject": str(number)}, on_duplicate="replace"))  # type: ignore[misc]

        mine = Run.objects.filter(payload__to=str(n))
        assert all(run.added for run in runs)
        assert {run.pk for run in runs} == set(mine.values_list("pk", flat=True))
        assert sorted(mine.values_list("state", "reason")) == [
            *[("cancelled", "replaced")] * (ADDERS - 1),
            ("pending", None),
        ]


def test_adding_while_others_work_them_adds_none_too_many_and_loses_none(
    mail: Queue, race: Race, listener: Listener
) -> None:
    unique()
    engine = engine_for("default")
    keys = ["a", "b"]

    def add_or_work(number: int) -> list[tuple[str, int]]:
        got = []
        for n in range(15):
            if number % 2:
                how = random.choice(["skip", "replace"])
                key = keys[n % 2]
                run = mail.add("send", {"to": key}, on_duplicate=how)  # type: ignore[arg-type]
                got.append((key, run.pk))
            else:
                claims = engine.claim("default", "mail", worker=str(number), limit=1, lease_seconds=30)
                engine.settle([completed(claim.ref) for claim in claims])
        return got

    answers = [answer for answers in race(add_or_work) for answer in answers]

    there = {run.pk: run.payload["to"] for run in Run.objects.all()}
    assert {pk: key for key, pk in answers} == there
    assert Run.objects.live().count() <= len(keys)
    assert {*Run.objects.ended().values_list("reason", flat=True)} <= {"returned", "replaced"}
    replaced = {event.run_id for event in listener.events if event.key == "job.cancelled"}
    assert replaced == set(Run.objects.filter(reason="replaced").values_list("pk", flat=True))


def add_elsewhere(mail: Queue, **options: Any) -> Run:
    """Add on a connection that is closed again."""
    try:
        run: Run = mail.add("send", **options)
        return run
    finally:
        connections.close_all()


@pytest.mark.parametrize("how", ["skip", "replace"])
def test_whoever_waits_for_a_rival_that_rolls_back_adds_the_run(mail: Queue, how: str) -> None:
    unique()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            mail.add("send")
            elsewhere = pool.submit(add_elsewhere, mail, on_duplicate=how)
            wait_for_the_lock(elsewhere)
            assert not elsewhere.done()
            transaction.set_rollback(True)
        run = elsewhere.result(PATIENCE_SECONDS)

    assert run.added
    assert run == Run.objects.get()


def test_whoever_waits_for_a_rival_that_commits_gets_its_run(mail: Queue) -> None:
    unique()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            ours = mail.add("send")
            elsewhere = pool.submit(add_elsewhere, mail)
            wait_for_the_lock(elsewhere)
            assert not elsewhere.done()
        theirs = elsewhere.result(PATIENCE_SECONDS)

    assert (theirs, theirs.added) == (ours, False)


@pytest.mark.postgresql
@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_what_a_transaction_cannot_see_is_the_error_of_its_isolation_level(mail: Queue, level: str) -> None:
    unique()

    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
        assert not Run.objects.exists()  # from here on it sees nothing new
        theirs = pool.submit(add_elsewhere, mail).result(PATIENCE_SECONDS)
        with pytest.raises(OperationalError, match="could not serialize"):
            mail.add("send")
        transaction.set_rollback(True)

    assert Run.objects.get() == theirs
