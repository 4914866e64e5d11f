"""Purging deletes runs that have ended, with their attempts, and nothing else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections, transaction

from django_jobqueue.engines.base import Engine
from django_jobqueue.models import Attempt, Run
from tests.engines.conftest import MakeRun, Take
from tests.engines.endings import completed, failed
from tests.worker.bench import PATIENCE_SECONDS

pytestmark = pytest.mark.django_db


def test_runs_that_have_ended_are_purged_with_their_attempts(engine: Engine, make_run: MakeRun, take: Take) -> None:
    purged, kept = [make_run() for _ in range(2)], make_run()
    for claim, end in [(take(), completed), (take(), failed), (take(), completed)]:
        engine.settle([end(claim.ref)])

    assert sorted(engine.purge(purged)) == purged

    assert list(Run.objects.values_list("pk", flat=True)) == [kept]
    assert list(Attempt.objects.values_list("run_id", flat=True)) == [kept]


def test_live_runs_are_left_alone(engine: Engine, make_run: MakeRun, take: Take) -> None:
    running, pending = make_run(), make_run()
    take()

    assert engine.purge([running, pending, pending + 1]) == []

    assert Run.objects.count() == 2


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_run_that_somebody_has_locked_is_passed_over(engine: Engine, make_run: MakeRun, take: Take) -> None:
    locked, free = make_run(), make_run()
    engine.settle([completed(take().ref), completed(take().ref)])

    def purge() -> list[int]:
        try:
            return engine.purge([locked, free])
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        Run.objects.select_for_update().get(pk=locked)
        purged = pool.submit(purge).result(PATIENCE_SECONDS)

    assert purged == [free]
