"""A run that is stored under an old name of its job counts as one of it: the limits and the pauses of the job hold for both."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from django_jobqueue.jobs import JobRegistry, registry
from django_jobqueue.limiting.rules import declared_rules
from django_jobqueue.limiting.sweep import Sweep
from django_jobqueue.models import QueueState, Run
from django_jobqueue.operations import clear_limit, explain, pause_job, resume_job, set_limit
from django_jobqueue.operations.limit_figures import limit_figures
from django_jobqueue.operations.obstacles import Rule
from django_jobqueue.states import State
from tests.limiting.conftest import Configure, Office, parked

pytestmark = pytest.mark.django_db

OLD = {"aliases": ["mail_out"]}
PER_KEY = {"concurrent_jobs_per_key": 1}
IN_ORDER = {**PER_KEY, "keep_order": True}
NAMES = [pytest.param("mail_out", "send", id="old first"), pytest.param("send", "mail_out", id="old last")]


def told(run_id: int) -> set[tuple[str, str | None, tuple[int, ...]]]:
    return {(each.code, each.limit, each.runs) for each in explain(run_id) if each.code != Rule.NO_WORKER}


@pytest.mark.parametrize(("first", "second"), NAMES)
@pytest.mark.parametrize(
    ("options", "line"),
    [
        pytest.param({"concurrent_jobs": 1}, "job:send", id="job"),
        pytest.param(PER_KEY, "key:send/7", id="key"),
        pytest.param(IN_ORDER, "key:send/7", id="key in order"),
    ],
)
def test_a_run_of_one_name_takes_the_slot_of_the_other_and_frees_it(
    configure: Configure, options: dict[str, Any], line: str, first: str, second: str
) -> None:
    configure(jobs={"send": options | OLD})
    office = Office()
    earlier, later = office.add(first, key="7"), office.add(second, key="7")

    assert office.claim() == [earlier]
    assert parked() == {later: line}
    assert told(later) == {(Rule.SLOTS_TAKEN, line, (earlier,))}

    assert office.claim(ended=[earlier]) == [later]


@pytest.mark.parametrize(("first", "second"), NAMES)
def test_the_order_of_a_key_is_that_of_adding_whatever_the_runs_are_called(
    configure: Configure, first: str, second: str
) -> None:
    configure(jobs={"send": IN_ORDER | OLD})
    office = Office()
    earlier, later = office.add(first, key="7"), office.add(second, key="7", priority=5)
    Run.objects.filter(pk=earlier).update(run_at=timezone.now() + timedelta(hours=1))

    assert office.claim() == []
    assert told(later) == {(Rule.KEPT_ORDER, "key:send/7", (earlier,))}

    Run.objects.filter(pk=earlier).update(run_at=timezone.now())
    assert office.claim() == [earlier]
    assert office.claim(ended=[earlier], state=State.FAILED) == [later]


def test_a_job_that_limits_keys_itself_does_not_hold_the_order_of_the_queue_by_its_old_name(
    configure: Configure,
) -> None:
    configure(**IN_ORDER, jobs={"send": PER_KEY | OLD})
    office = Office()
    old, other = office.add("mail_out", key="7"), office.add("post", key="7")

    assert office.claim() == [old, other]


@pytest.mark.parametrize(("first", "second"), NAMES)
def test_both_names_draw_on_one_rate(configure: Configure, first: str, second: str) -> None:
    configure(jobs={"send": {"rate_limit": "1/h"} | OLD})
    office = Office()
    earlier, later = office.add(first), office.add(second)

    assert office.claim() == [earlier]
    assert parked() == {later: "rate:send"}
    assert told(later) == {(Rule.RATE, "rate:send", ())}


def test_a_flood_under_an_old_name_holds_nobody_else_up(configure: Configure) -> None:
    configure(jobs={"send": PER_KEY | OLD})
    office = Office()
    office.add_many(6_000, "mail_out", key="7")
    others = [office.add(key="8"), office.add("post")]

    assert office.claim(10)[1:] == others


def test_a_run_counts_by_its_old_name_where_a_worker_claims_ahead(configure: Configure) -> None:
    configure(jobs={"send": {"concurrent_jobs": 4} | OLD})
    office = Office()
    office.add_many(4, "mail_out")

    assert len(office.claim(1, ahead=3)) == 2


def test_who_was_parked_before_the_job_was_renamed_is_found(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(jobs={"mail_out": {"concurrent_jobs": 1}})
    office = Office()
    first, second = office.add_many(2, "mail_out")
    office.claim()
    assert parked() == {second: "job:mail_out"}

    monkeypatch.setattr(registry, "__dict__", vars(JobRegistry()))
    configure(jobs={"send": {"concurrent_jobs": 1} | OLD})

    assert Sweep().turn() is True
    new = Office("worker-b")
    assert new.claim() == []
    assert parked() == {second: "job:send"}
    new.held = office.held
    assert new.claim(ended=[first]) == [second]


@pytest.mark.parametrize("name", ["send", "mail_out"])
def test_a_pause_of_a_job_holds_runs_of_both_names(configure: Configure, name: str) -> None:
    configure(jobs={"send": OLD})
    office = Office()
    ids = [office.add("mail_out"), office.add("send")]
    pause_job("mail", "send", actor="ana", reason="the server moves")
    QueueState.objects.update(job=name)  # as a release says that knows the job by this one

    office.claim()

    assert office.claim() == []
    assert set(parked().values()) == {"pause:send"}
    for run_id in ids:
        assert told(run_id) == {(Rule.JOB_PAUSED, "pause:send", ())}
    [scope] = [scope for scope in limit_figures("mail") if scope.job == "send"]
    assert (scope.parked, scope.pause is not None) == (2, True)

    assert resume_job("mail", "send", actor="ana") is True
    Sweep().turn()
    assert office.claim() == ids


def test_a_limit_that_was_set_under_the_old_name_holds_until_it_is_set_anew_or_cleared(configure: Configure) -> None:
    configure(jobs={"send": OLD})
    until = timezone.now() + timedelta(hours=1)
    set_limit("mail", "concurrent_jobs", 1, job="send", actor="ana", until=until)
    QueueState.objects.update(job="mail_out")
    office = Office()
    ids = [office.add("send"), office.add("mail_out"), office.add("send")]
    office.limiter.rules("mail")
    assert shown_limit() == (1, until)

    assert office.claim() == ids[:1]

    set_limit("mail", "concurrent_jobs", 2, job="send", actor="ana")
    Sweep().turn()
    assert shown_limit() == (2, None)
    assert office.claim() == ids[1:2]

    assert clear_limit("mail", "concurrent_jobs", job="send", actor="ana") is True
    Sweep().turn()
    assert shown_limit() == (None, None)
    assert office.claim() == ids[2:]


def test_a_pause_for_a_while_ends_also_what_was_paused_for_good_under_the_old_name(configure: Configure) -> None:
    configure(jobs={"send": OLD})
    pause_job("mail", "send", actor="ana")
    QueueState.objects.update(job="mail_out")
    office = Office()
    run_id = office.add("send")
    before, later = timezone.now() - timedelta(seconds=1), timezone.now() + timedelta(hours=1)

    pause_job("mail", "send", actor="ana", until=later)
    QueueState.objects.filter(job="send").update(paused_until=before)

    assert office.claim() == [run_id]


def test_a_limit_for_a_while_ends_also_what_was_set_for_good_under_the_old_name(configure: Configure) -> None:
    configure(jobs={"send": OLD})
    set_limit("mail", "concurrent_jobs", 1, job="send", actor="ana")
    set_limit("mail", "rate_limit", "1/h", job="send", actor="ana")
    QueueState.objects.update(job="mail_out")
    office = Office()
    ids = office.add_many(2)
    before, later = timezone.now() - timedelta(seconds=1), timezone.now() + timedelta(hours=1)

    set_limit("mail", "concurrent_jobs", 1, job="send", actor="ana", until=later)
    QueueState.objects.filter(job="send").update(concurrent_jobs_until=before)
    office.limiter.rules("mail")
    assert shown_limit() == (None, None)
    assert office.claim() == ids[:1], "the rate that nobody has touched holds"

    set_limit("mail", "rate_limit", "2/h", job="send", actor="ana", until=later)
    QueueState.objects.filter(job="send").update(rate_limit_until=before)
    Sweep().turn()
    assert office.claim() == ids[1:]


def test_a_name_that_a_job_has_is_no_old_name_of_another(configure: Configure) -> None:
    configure(jobs={"send": {"aliases": ["post"], "concurrent_jobs": 1}})

    assert declared_rules("mail").job_of("post") == "post"


def shown_limit() -> tuple[int | None, Any]:
    """What is told of ``concurrent_jobs``, with the running runs of both names."""
    [scope] = [scope for scope in limit_figures("mail") if scope.job == "send"]
    assert scope.running == Run.objects.filter(state=State.RUNNING).count()
    return scope.now.concurrent_jobs, scope.set_until.get("concurrent_jobs")
