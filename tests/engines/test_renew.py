from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models import F

from django_jobqueue.engines.base import Engine, Ref
from django_jobqueue.models import Run
from tests.engines.conftest import Expire, MakeRun, RequestCancel, Row, Table, Take
from tests.engines.endings import completed

pytestmark = pytest.mark.django_db


def test_each_lease_is_renewed_by_its_own_length(engine: Engine, make_run: MakeRun, take: Take, row: Row) -> None:
    make_run()
    make_run()
    short, long = take(), take()
    before = engine.now()

    assert engine.renew([(short.ref, 60.5), (long.ref, 600)]) == {short.ref: False, long.ref: False}

    [first, second] = [row(claim.id).lease_until for claim in (short, long)]
    assert first is not None
    assert second is not None
    assert before <= first - timedelta(seconds=60.5) <= engine.now()
    assert second - first == timedelta(seconds=539.5)


def test_a_renewal_changes_the_lease_alone(engine: Engine, make_run: MakeRun, take: Take, table: Table) -> None:
    make_run()
    claim = take()
    [before] = table()

    engine.renew([(claim.ref, 600)])

    [after] = table()
    assert {name for name, value in after.items() if value != before[name]} == {"lease_until"}


def test_a_renewal_says_which_runs_are_asked_to_cancel(
    engine: Engine, make_run: MakeRun, take: Take, request_cancel: RequestCancel
) -> None:
    make_run()
    make_run()
    kept, asked = take(), take()
    request_cancel(asked)

    answer = engine.renew([(asked.ref, 30), (kept.ref, 30)])

    assert (answer[kept.ref], answer[asked.ref]) == (False, True)


def test_a_lease_that_is_over_but_not_reaped_can_be_renewed(
    engine: Engine, make_run: MakeRun, take: Take, expire: Expire
) -> None:
    make_run()
    claim = take()
    expire(claim)

    assert engine.renew([(claim.ref, 30)]) == {claim.ref: False}
    assert Run.objects.filter(lease_until__gt=F("started_at")).exists()


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
    answer = engine.renew([(ref, 600) for ref in refs])

    assert answer == {ours.ref: False}
    assert table()[1:] == before


def test_renewing_nothing_answers_nothing(engine: Engine, make_run: MakeRun, take: Take) -> None:
    make_run()
    take()

    assert engine.renew([]) == {}
