"""With ``keep_order`` the runs of a key are worked in the order of adding, retries included."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from django_jobqueue.models import Run
from django_jobqueue.states import State
from tests.limiting.conftest import Configure, Office, parked

pytestmark = pytest.mark.django_db

IN_ORDER = {"concurrent_jobs_per_key": 1, "keep_order": True}


@pytest.fixture(params=["queue", "job"])
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    return IN_ORDER if request.param == "queue" else {"jobs": {"send": IN_ORDER, "post": IN_ORDER}}


@pytest.fixture
def office(configure: Configure, options: dict[str, Any]) -> Office:
    configure(**options)
    return Office()


def test_keys_are_the_same_only_to_the_letter(office: Office) -> None:
    keys = ["key", "KEY", "key ", "k\u00e9y", "ke\u0301y", "k" * 255, "K" * 255, "a/b", "\U0001f680", "%", "'\\"]
    first = [office.add(key=key) for key in keys]
    second = [office.add(key=key) for key in keys]

    assert office.claim() == first
    assert sorted(parked()) == second
    assert office.claim(ended=first[::2]) == second[::2]


def test_neither_priority_nor_due_time_changes_the_order(office: Office) -> None:
    ids = [
        office.add(key="7"),
        office.add(key="7", priority=5),
        office.add(key="7", run_at=timezone.now() - timedelta(hours=1)),
        office.add(key="7", priority=-5),
    ]

    order = []
    while claimed := office.claim(ended=list(office.held)):
        order += claimed

    assert order == ids


def test_a_run_that_is_tried_again_keeps_its_turn(office: Office) -> None:
    first, second = office.add_many(2, key="7")
    office.claim()

    assert office.claim(ended=[first], state=State.PENDING) == [first]
    office.end(first, state=State.PENDING)
    Run.objects.filter(pk=first).update(run_at=timezone.now() + timedelta(hours=1))
    assert office.claim() == []

    Run.objects.filter(pk=first).update(run_at=timezone.now())
    assert office.claim() == [first]
    assert office.claim(ended=[first]) == [second]


def test_a_run_that_is_handed_back_keeps_its_turn(office: Office) -> None:
    first, _second = office.add_many(2, key="7")
    office.claim()

    office.release(first)

    assert office.claim() == [first]


@pytest.mark.parametrize("state", [State.FAILED, State.DEAD_LETTERED])
def test_a_run_that_ends_badly_lets_the_next_one_go(office: Office, state: State) -> None:
    first, second = office.add_many(2, key="7")
    office.claim()

    assert office.claim(ended=[first], state=state) == [second]


def test_a_run_that_is_not_due_keeps_those_behind_it_waiting(office: Office) -> None:
    first = office.add(key="7", delay_seconds=3600)
    second = office.add(key="7")
    other = office.add(key="8")

    assert office.claim() == [other]
    assert list(parked()) == [second]

    Run.objects.filter(pk=first).update(run_at=timezone.now())
    assert office.claim() == [first]


def test_keys_do_not_wait_for_each_other(office: Office) -> None:
    firsts = [office.add(key=key) for key in "abc"]
    seconds = [office.add(key=key) for key in "abc"]

    assert office.claim() == firsts
    assert office.claim(ended=firsts) == seconds


def test_the_order_holds_in_the_scope_that_declares_it(office: Office, options: dict[str, Any]) -> None:
    first = office.add(key="7")
    second = office.add("post", key="7")

    assert office.claim() == ([first, second] if "jobs" in options else [first])


def test_a_parked_job_holds_its_place_in_the_order(configure: Configure) -> None:
    configure(jobs={"send": IN_ORDER | {"concurrent_jobs": 1}})
    office = Office()
    running = office.add(key="x")
    office.claim()
    first, second = office.add_many(2, key="7")
    office.claim()
    assert parked() == {first: "job:send", second: "key:send/7"}

    assert office.claim(ended=[running]) == [first]
    assert office.claim(ended=[first]) == [second]
