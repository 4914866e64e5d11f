"""Runs that this release cannot work: left to other releases, and given up when none could for an hour."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from django_jobqueue import job, queues
from django_jobqueue.engines.base import Engine, NewRun
from django_jobqueue.models import Attempt, Run
from tests.worker.conftest import Lose, Work
from tests.worker.moments import took

pytestmark = pytest.mark.django_db(transaction=True)


def add(engine: Engine, **fields: Any) -> Run:
    """A run that another release has added."""
    [inserted] = engine.insert("default", [NewRun(**({"queue": "default", "job": "of_tomorrow"} | fields))])
    return Run.objects.get(pk=inserted.id)


def met(run: Run, *, minutes: float) -> None:
    """Let the run have been put back so long ago for the first time, and be due again."""
    ago = timezone.now() - timedelta(minutes=minutes)
    Run.objects.filter(pk=run.pk).update(unknown_since=ago, run_at=timezone.now())


def test_a_run_of_an_unknown_job_is_left_to_other_releases(
    work: Work, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    run = add(engine)

    with took() as moment:
        work()

    run.refresh_from_db()
    assert (run.state, run.releases, run.failures) == ("pending", 1, 0)
    assert run.run_at in moment.and_seconds(30)
    assert run.unknown_since in moment
    assert not Attempt.objects.exists()
    assert "left to workers of another release: default.of_tomorrow@1" in caplog.text


@pytest.mark.parametrize(("minutes", "state"), [(59, "pending"), (60, "failed"), (6000, "failed")])
def test_a_run_whose_job_is_unknown_for_an_hour_fails(work: Work, engine: Engine, minutes: int, state: str) -> None:
    run = add(engine)
    met(run, minutes=minutes)

    work()

    run.refresh_from_db()
    assert run.state == state
    if state == "failed":
        assert (run.reason, run.attempts.get().outcome) == ("unknown_job", "failed")
        assert run.error == "No release could work job 'of_tomorrow' of queue 'default' in version 1 for an hour."
    else:
        assert run.unknown_since is not None
        assert timezone.now() - run.unknown_since > timedelta(minutes=58), "it began with the first, not the last"


@pytest.mark.parametrize("fields", [{"created_at": -6000}, {"releases": 5000}], ids=["old", "often handed back"])
def test_neither_age_nor_what_else_befell_a_run_shortens_the_hour(
    work: Work, engine: Engine, fields: dict[str, int]
) -> None:
    run = add(engine)
    ago = timezone.now() - timedelta(minutes=6000)
    columns: dict[str, Any] = {"created_at": ago, "run_at": ago} if "created_at" in fields else fields
    Run.objects.filter(pk=run.pk).update(**columns)

    work()

    run.refresh_from_db()
    assert run.state == "pending"


def test_a_run_that_somebody_worked_meanwhile_begins_a_new_hour(work: Work, engine: Engine) -> None:
    @job(name="of_tomorrow", backoff={"mode": "fixed", "initial_seconds": 3600})
    def known() -> None:
        raise ValueError

    run = add(engine)
    met(run, minutes=6000)

    work()

    run.refresh_from_db()
    assert (run.state, run.failures, run.unknown_since) == ("pending", 1, None)


def test_a_run_that_somebody_else_hands_back_begins_a_new_hour(engine: Engine) -> None:
    run = add(engine)
    met(run, minutes=6000)
    [claim] = engine.claim("default", "default", worker="other:1:a", limit=1, lease_seconds=30)

    engine.release([claim.ref])

    run.refresh_from_db()
    assert run.unknown_since is None


def test_a_reaper_begins_a_new_hour_too(work: Work, engine: Engine, lose: Lose) -> None:
    run = add(engine)
    met(run, minutes=6000)
    lose()

    work()

    run.refresh_from_db()
    assert (run.state, run.crashes) == ("pending", 1)


@pytest.mark.parametrize(("minutes", "state"), [(1, "pending"), (60, "failed")])
def test_a_payload_of_a_later_version_goes_the_same_way(work: Work, engine: Engine, minutes: int, state: str) -> None:
    @job
    def greet(name: str) -> None: ...

    run = add(engine, job="greet", version=7, payload_text='{"name": "Ann"}')
    met(run, minutes=minutes)

    work()

    run.refresh_from_db()
    assert run.state == state
    if state == "failed":
        assert run.error == "No release could work job 'greet' of queue 'default' in version 7 for an hour."


@pytest.mark.parametrize(("minutes", "state"), [(1, "pending"), (60, "failed")])
def test_a_job_that_is_declared_wrongly_goes_the_same_way(
    work: Work, engine: Engine, caplog: pytest.LogCaptureFixture, minutes: int, state: str
) -> None:
    @job(name="of_tomorrow")
    def broken(*names: str) -> None: ...

    run = add(engine)
    met(run, minutes=minutes)

    work()

    run.refresh_from_db()
    assert run.state == state
    assert "*names" in caplog.text


def test_a_run_that_is_unknown_and_asked_to_cancel_is_cancelled(engine: Engine) -> None:
    run = add(engine)
    [claim] = engine.claim("default", "default", worker="me:1:a", limit=1, lease_seconds=30)
    Run.objects.filter(pk=run.pk).request_cancel()

    engine.release([claim.ref], delay_seconds=30, unknown=True)

    run.refresh_from_db()
    assert (run.state, run.reason) == ("cancelled", "cancelled")


def test_many_are_put_back_and_given_up_together(work: Work, engine: Engine) -> None:
    runs = [add(engine) for _ in range(6)]
    for run in runs[:3]:
        met(run, minutes=61)

    @job
    def fine() -> None: ...

    other = queues.default.add("fine")

    work()

    states = dict(Run.objects.values_list("pk", "state"))
    assert [states[run.pk] for run in runs] == ["failed"] * 3 + ["pending"] * 3
    assert states[other.pk] == "completed"
