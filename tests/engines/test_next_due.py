from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from django_jobqueue.engines.base import Engine
from django_jobqueue.models import LimitBucket
from tests.engines.conftest import MakeRun, Take

pytestmark = pytest.mark.django_db

HOUR = 3600.0
IN_AN_HOUR = pytest.approx(HOUR, abs=300)
"""Or a little less: asking takes its time."""


def test_nothing_is_ever_due_in_an_empty_queue(engine: Engine) -> None:
    assert engine.next_due("default", ["mail"]) is None
    assert engine.next_due("default", []) is None


def test_a_run_of_the_future_is_due_in_as_many_seconds(engine: Engine, make_run: MakeRun) -> None:
    make_run(delay_seconds=HOUR)

    assert engine.next_due("default", ["mail"]) == IN_AN_HOUR


def test_a_run_that_is_due_is_as_many_seconds_late(engine: Engine, make_run: MakeRun) -> None:
    make_run(run_at=timezone.now() - timedelta(hours=1))

    assert engine.next_due("default", ["mail"]) == pytest.approx(-HOUR, abs=300)


@pytest.mark.parametrize("soonest", range(5))
def test_the_soonest_of_all_queues_and_priorities_counts(engine: Engine, make_run: MakeRun, soonest: int) -> None:
    for place, (queue, priority) in enumerate([("mail", 9), ("mail", 0), ("mail", -3), ("digest", 1), ("digest", -9)]):
        make_run(queue=queue, priority=priority, delay_seconds=HOUR if place == soonest else 2 * HOUR)
        make_run(queue=queue, priority=priority, delay_seconds=3 * HOUR)

    assert engine.next_due("default", ["empty", "mail", "digest"]) == IN_AN_HOUR


def test_other_queues_and_namespaces_do_not_count(engine: Engine, make_run: MakeRun) -> None:
    make_run("other")
    make_run("other", priority=9)
    make_run(queue="digest", priority=9)
    make_run(queue="Mail")
    assert engine.next_due("default", ["mail"]) is None

    make_run(delay_seconds=HOUR)
    assert engine.next_due("default", ["mail"]) == IN_AN_HOUR


def test_parked_runs_do_not_count(engine: Engine, make_run: MakeRun) -> None:
    make_run(blocked_on="key:1", priority=9)
    make_run(blocked_on="key:1")
    assert engine.next_due("default", ["mail"]) is None

    make_run(delay_seconds=HOUR)
    assert engine.next_due("default", ["mail"]) == IN_AN_HOUR


@pytest.mark.parametrize(("run_in", "token_in"), [(2 * HOUR, HOUR), (HOUR, 2 * HOUR), (None, HOUR), (HOUR, None)])
def test_a_token_that_somebody_waits_for_counts(
    engine: Engine, make_run: MakeRun, run_in: float | None, token_in: float | None
) -> None:
    now = timezone.now()
    if run_in is not None:
        make_run(delay_seconds=run_in)
    for namespace, queue, seconds in [("default", "mail", token_in), ("other", "mail", 5), ("default", "digest", 5)]:
        next_at = None if seconds is None else now + timedelta(seconds=seconds)
        LimitBucket.objects.create(
            namespace=namespace, queue=queue, key="rate:", tokens=0, updated_at=now, full_at=now, next_at=next_at
        )

    assert engine.next_due("default", ["mail"]) == IN_AN_HOUR


def test_runs_that_were_not_started_in_time_do_not_count(engine: Engine, make_run: MakeRun) -> None:
    make_run(expires_at=timezone.now() - timedelta(minutes=1), priority=9)
    make_run(expires_at=timezone.now() - timedelta(minutes=1))
    assert engine.next_due("default", ["mail"]) is None

    make_run(delay_seconds=2 * HOUR, priority=9)
    make_run(delay_seconds=HOUR, expires_at=timezone.now() + timedelta(hours=3))
    assert engine.next_due("default", ["mail"]) == IN_AN_HOUR


def test_running_runs_do_not_count(engine: Engine, make_run: MakeRun, take: Take) -> None:
    make_run()
    take()
    assert engine.next_due("default", ["mail"]) is None

    make_run(delay_seconds=HOUR)
    assert engine.next_due("default", ["mail"]) == IN_AN_HOUR


@pytest.mark.parametrize("queue", ["it's", 'Žofie "100 %"', "a,b", "%s"])
def test_a_queue_may_have_any_name(engine: Engine, make_run: MakeRun, queue: str) -> None:
    make_run(queue=queue)

    assert engine.next_due("default", [queue]) == pytest.approx(0, abs=300)
