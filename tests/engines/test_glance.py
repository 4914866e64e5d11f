"""At a glance, a worker sees whether there is anything to do."""

from __future__ import annotations

from datetime import timedelta
from math import inf
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from django_jobqueue.engines.base import Engine, Glance
from django_jobqueue.models import Run, Schedule
from django_jobqueue.worker import hold
from django_jobqueue.worker import maintenance as maintaining
from django_jobqueue.worker.leases import Leases
from django_jobqueue.worker.maintenance import Maintenance
from django_jobqueue.worker.observer import Observer
from django_jobqueue.worker.tally import Tally
from tests.engines.conftest import MakeRun

pytestmark = [pytest.mark.django_db, pytest.mark.postgresql, pytest.mark.sqlite]

HOUR = timedelta(hours=1)


def glance(engine: Engine) -> Glance:
    """Look, at queue ``default``."""
    return engine.glance("default", ["default"])


def seen(found: Glance) -> set[str]:
    """What of it is to be done now."""
    due = {name for name in ("fires_in", "due_in") if (seconds := getattr(found, name)) is not None and seconds <= 0}
    return due | {name for name in ("lost", "overdue", "parked") if getattr(found, name)}


def test_where_nothing_is_to_be_done_nothing_is_seen(engine: Engine) -> None:
    before = engine.now()
    found = glance(engine)

    assert seen(found) == set()
    assert (found.fires_in, found.due_in) == (None, None)
    assert before <= found.now <= engine.now()


@pytest.mark.parametrize(
    ("what", "fields"),
    [
        ("due_in", {}),
        ("lost", {"state": "running", "lease_until": -HOUR}),
        ("overdue", {"expires_at": -HOUR}),
        ("parked", {"blocked_on": "queue"}),
    ],
)
def test_what_is_to_be_done_is_seen_by_itself(
    engine: Engine, make_run: MakeRun, what: str, fields: dict[str, Any]
) -> None:
    make_run(queue="default")
    moments = {name: timezone.now() + value for name, value in fields.items() if isinstance(value, timedelta)}
    Run.objects.update(**(fields | moments))

    assert seen(glance(engine)) == {what}


@pytest.mark.parametrize("field", ["namespace", "queue"])
def test_what_is_not_ours_is_no_work(engine: Engine, make_run: MakeRun, field: str) -> None:
    make_run(queue="default")
    Run.objects.update(**{field: "other"})

    found = glance(engine)

    assert (seen(found), found.due_in) == (set(), None)


def test_when_the_next_run_is_due_is_seen(engine: Engine, make_run: MakeRun) -> None:
    make_run(queue="default")
    Run.objects.update(run_at=timezone.now() + HOUR)

    found = glance(engine)

    assert seen(found) == set()
    assert found.due_in == pytest.approx(3600, abs=60)


@pytest.mark.parametrize(("enabled", "expected"), [(True, 1800), (False, None)])
def test_the_next_schedule_is_seen(engine: Engine, enabled: bool, expected: float | None) -> None:
    soon = timezone.now() + HOUR / 2
    for name, moment in [("later", soon + HOUR), ("soon", soon)]:
        Schedule.objects.create(
            name=name, queue="default", job="note", cron="@daily", next_run_at=moment, enabled=enabled
        )

    assert glance(engine).fires_in == (None if expected is None else pytest.approx(expected, abs=60))


def test_a_worker_that_finds_nothing_to_do_sends_one_statement(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.JOBQUEUE = {"worker": {"poll_seconds": 60, "lease_seconds": 600}}
    monkeypatch.setattr(maintaining, "LOOK_SECONDS", inf)
    for name in ("OUTAGE_SECONDS", "JUMP_SECONDS"):
        monkeypatch.setattr(hold, name, 3600.0)  # so that a busy machine is not taken for one that was frozen
    maintenance = Maintenance(Observer(), Tally(), ["default"])
    maintenance.turn(Leases())  # what only the first turn does
    maintenance._look_at = 0.0

    with CaptureQueriesContext(connection) as queries:
        maintenance.turn(Leases())
        again = maintenance.turn(Leases())

    assert len(queries) == 1
    assert again is False
