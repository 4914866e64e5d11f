from __future__ import annotations

import pytest
from django.db import connection, transaction

from django_jobqueue.engines.base import Engine, Note, Ref
from django_jobqueue.models import Run
from tests.engines.conftest import Expire, MakeRun, Row, Table, Take
from tests.engines.endings import completed, retried
from tests.racing import Race

pytestmark = pytest.mark.django_db


def test_progress_and_metadata_of_a_running_run_are_written_and_nothing_else(
    engine: Engine, make_run: MakeRun, take: Take, table: Table
) -> None:
    make_run()
    claim = take()
    [before] = table()

    assert engine.note([Note(*claim.ref, progress='{"done": 1}', metadata='{"naïve": ["\'", "%s"]}')]) == {claim.ref}

    [after] = table()
    assert after == before | {"progress": {"done": 1}, "metadata": {"naïve": ["'", "%s"]}}


def test_what_is_not_given_stays_as_it_is(engine: Engine, make_run: MakeRun, take: Take, row: Row) -> None:
    make_run(metadata_text='{"source": "api"}')
    claim = take()

    engine.note([Note(*claim.ref, progress="1")])
    assert (row(claim.id).progress, row(claim.id).metadata) == (1, {"source": "api"})

    engine.note([Note(*claim.ref, metadata="{}")])
    assert (row(claim.id).progress, row(claim.id).metadata) == (1, {})


def test_what_is_no_longer_ours_is_missing_and_unchanged(engine: Engine, make_run: MakeRun, table: Table) -> None:
    for _ in range(4):
        make_run()
    ours, released, ended, taken = engine.claim("default", "mail", worker="worker-a", limit=4, lease_seconds=30)
    engine.release([released.ref], delay_seconds=3600)
    engine.settle([completed(ended.ref)])
    engine.release([taken.ref])
    engine.claim("default", "mail", worker="worker-b", limit=1, lease_seconds=30)
    before = table()[1:]

    refs = [released.ref, ended.ref, taken.ref, ours.ref, Ref(ours.id, 2), Ref(ours.id + 1_000_000, 1)]
    answer = engine.note([Note(*ref, progress=str(number)) for number, ref in enumerate(refs)])

    assert answer == {ours.ref}
    assert Run.objects.get(pk=ours.id).progress == 3
    assert table()[1:] == before


def test_a_lease_that_is_over_but_not_reaped_is_still_ours(
    engine: Engine, make_run: MakeRun, take: Take, expire: Expire
) -> None:
    make_run()
    claim = take()
    expire(claim)

    assert engine.note([Note(*claim.ref, progress="1")]) == {claim.ref}


def test_noting_nothing_answers_nothing(engine: Engine, make_run: MakeRun, take: Take) -> None:
    make_run()
    take()

    assert engine.note([]) == set()


def test_the_next_attempt_is_told_what_the_last_one_kept(engine: Engine, make_run: MakeRun, take: Take) -> None:
    make_run()
    claim = take()
    engine.note([Note(*claim.ref, metadata='{"page":1}')])
    engine.settle([retried(claim.ref, metadata='{"page":2}')])

    assert take().metadata in ('{"page":2}', '{"page": 2}')


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_run_that_somebody_holds_is_passed_over(
    engine: Engine, make_run: MakeRun, take: Take, race: Race, row: Row
) -> None:
    for _ in range(2):
        make_run()
    held, free = take(), take()

    def write(_number: int) -> set[tuple[str, Ref]]:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '60s'")
        noted = engine.note([Note(*held.ref, progress="1"), Note(*free.ref, progress="2")])
        renewed = engine.renew([(held.ref, 60.0), (free.ref, 60.0)])
        return {("noted", ref) for ref in noted} | {("renewed", ref) for ref in renewed}

    with transaction.atomic():
        Run.objects.select_for_update().get(pk=held.id)
        answers = race(write)

    assert set().union(*answers) == {("noted", free.ref), ("renewed", free.ref)}
    assert (row(held.id).progress, row(free.id).progress) == (None, 2)
