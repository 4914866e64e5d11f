"""Purging deletes runs that have ended, with their attempts, and nothing else."""

from __future__ import annotations

from threading import Event, Thread

import pytest
from django.db import connection, connections, transaction

from django_jobqueue.engines.base import Engine
from django_jobqueue.models import Attempt, Run
from tests.engines.conftest import MakeRun, Take
from tests.engines.endings import completed, failed

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
    is_locked, done = Event(), Event()

    def lock() -> None:
        with transaction.atomic():
            Run.objects.select_for_update().get(pk=locked)
            is_locked.set()
            done.wait(20)
        connections.close_all()

    thread = Thread(target=lock)
    thread.start()
    assert is_locked.wait(20)
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 5000")
    purged = engine.purge([locked, free])
    done.set()
    thread.join()

    assert purged == [free]
