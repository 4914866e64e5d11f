"""Runs of a saturated key or job, or of a paused job, are parked, and called when their time has come."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from django_jobqueue.limiting.sweep import Sweep
from django_jobqueue.models import QueueState, Run
from django_jobqueue.states import State
from tests.limiting.conftest import Configure, Office, parked, reap

pytestmark = pytest.mark.django_db

PER_KEY = {"concurrent_jobs_per_key": 1}
SCOPES = [
    pytest.param({"jobs": {"send": {"concurrent_jobs": 1}}}, "job:send", id="job"),
    pytest.param({"jobs": {"send": PER_KEY}}, "key:send/7", id="key of a job"),
    pytest.param(PER_KEY, "key:/7", id="key of the queue"),
]


@pytest.fixture
def office() -> Office:
    return Office()


@pytest.mark.parametrize(("options", "line"), SCOPES)
def test_who_finds_no_slot_is_parked_and_called_by_who_frees_it(
    configure: Configure, options: dict[str, Any], line: str
) -> None:
    configure(**options)
    office = Office()
    first, second, third = office.add_many(3, key="7")

    assert office.claim() == [first]
    assert parked() == {second: line, third: line}
    assert office.claim() == []

    assert office.claim(ended=[first]) == [second]
    assert parked() == {third: line}


@pytest.mark.parametrize(("options", "line"), SCOPES)
def test_parking_costs_no_attempt_and_changes_no_time(configure: Configure, options: dict[str, Any], line: str) -> None:
    configure(**options)
    office = Office()
    ids = office.add_many(2, key="7")
    before = Run.objects.get(pk=ids[1])

    office.claim()

    run = Run.objects.get(pk=ids[1])
    assert run.blocked_on == line
    run.blocked_on = None
    assert {f.attname: getattr(run, f.attname) for f in Run._meta.concrete_fields} == {
        f.attname: getattr(before, f.attname) for f in Run._meta.concrete_fields
    }


@pytest.mark.parametrize(("options", "line"), SCOPES)
@pytest.mark.parametrize("way", ["settled", "sent back", "failed", "released", "reaped"])
def test_whatever_ends_an_attempt_calls_the_next_even_if_its_worker_claims_nothing(
    configure: Configure, options: dict[str, Any], line: str, way: str
) -> None:
    configure(**options)
    office, other = Office(), Office("worker-b")
    first, second, third = office.add_many(3, key="7")
    office.claim()

    match way:
        case "settled":
            office.end(first)
        case "sent back":
            office.end(first, state=State.PENDING)
        case "failed":
            office.end(first, state=State.FAILED)
        case "released":
            office.release(first)
        case "reaped":
            office.lose(first)
            reap(office)

    assert parked() == {third: line}
    assert other.claim() == [first if way == "released" else second]  # what is handed back keeps its place


@pytest.mark.parametrize(("options", "line"), SCOPES)
def test_a_settle_that_was_too_late_calls_nobody(configure: Configure, options: dict[str, Any], line: str) -> None:
    configure(**options)
    office, other = Office(), Office("worker-b")
    first, second, third = office.add_many(3, key="7")
    office.claim()
    stale = office.held[first]
    office.lose(first)
    reap(other)
    assert other.claim() == [second]
    office.held[first] = stale

    office.end(first)

    assert parked() == {third: line}
    assert other.claim() == []


def test_those_who_wait_are_called_in_the_order_of_claiming(configure: Configure, office: Office) -> None:
    configure(**PER_KEY)
    now = timezone.now()
    office.add(key="7", priority=100)
    late = office.add(key="7", run_at=now - timedelta(hours=1))
    high = office.add(key="7", priority=9)
    early = office.add(key="7", run_at=now - timedelta(hours=2))
    office.claim()

    order = []
    while office.held:
        order += office.claim(ended=list(office.held))

    assert order == [high, early, late]


def test_a_newcomer_that_comes_first_in_the_order_of_claiming_goes_first(configure: Configure, office: Office) -> None:
    configure(**PER_KEY)
    running, waiting = office.add_many(2, key="7")
    office.claim()
    newcomer = office.add(key="7", priority=5)

    assert office.claim(ended=[running]) == [newcomer]
    assert parked() == {waiting: "key:/7"}


def test_another_key_job_or_queue_and_who_has_no_key_is_not_held(configure: Configure, office: Office) -> None:
    configure(concurrent_jobs_per_key=1, jobs={"send": {}, "post": {}})
    office.add(key="7")
    held = office.add("post", key="7")
    free = [office.add(key="8"), office.add("post"), office.add(), office.add("post")]

    assert office.claim()[1:] == free
    assert parked() == {held: "key:/7"}


def test_a_key_that_is_limited_in_a_job_counts_there_only(configure: Configure, office: Office) -> None:
    configure(concurrent_jobs_per_key=2, jobs={"send": PER_KEY})
    first = office.add(key="7")
    second, third, fourth = (office.add("post", key="7") for _ in range(3))
    held = office.add(key="7")

    assert office.claim() == [first, second, third]
    assert parked() == {fourth: "key:/7", held: "key:send/7"}


def test_a_run_waits_for_its_key_before_it_waits_for_its_job(configure: Configure, office: Office) -> None:
    configure(jobs={"send": {"concurrent_jobs": 2, "concurrent_jobs_per_key": 1}})
    a1, a2, b1, b2, c1, c2 = (office.add(key=key) for key in "aabbcc")

    assert office.claim() == [a1, b1]
    assert parked() == {a2: "key:send/a", b2: "key:send/b", c1: "job:send", c2: "key:send/c"}

    assert office.claim(ended=[a1]) == [a2]
    assert office.claim(ended=[a2]) == [c1]
    assert office.claim(ended=[b1, c1]) == [b2, c2]
    assert office.claim(ended=[b2, c2]) == []
    assert parked() == {}


def test_who_waits_behind_a_held_one_gets_the_slot_of_the_job(configure: Configure, office: Office) -> None:
    configure(concurrent_jobs_per_key=1, jobs={"send": {"concurrent_jobs": 1}})
    running = office.add(key="x")
    office.claim()
    first = office.add(key="y")
    second = office.add(key="z")
    office.claim()
    assert parked() == {first: "job:send", second: "job:send"}
    office.add("post", key="y")  # takes the key of the first in line
    office.claim()

    assert office.claim(ended=[running]) == [second]
    assert parked() == {first: "key:/y"}


def test_who_does_not_fit_into_the_free_slots_of_the_worker_is_left_to_others(
    configure: Configure, office: Office
) -> None:
    configure(**PER_KEY)
    running = [office.add(key=key) for key in "abc"]
    waiting = [office.add(key=key) for key in "abc"]
    office.claim()

    assert office.claim(1, ended=running) == waiting[:1]
    assert parked() == {}
    assert Office("worker-b").claim() == waiting[1:]


@pytest.mark.parametrize("until", [None, timedelta(hours=1)])
def test_a_paused_job_is_parked_and_others_go_on(configure: Configure, office: Office, until: timedelta | None) -> None:
    configure(jobs={"send": {"concurrent_jobs": 1}})
    now = timezone.now()
    QueueState.objects.create(queue="mail", job="send", paused_at=now, paused_until=now + until if until else None)
    held = office.add_many(3)
    free = [office.add("post") for _ in range(3)]

    assert office.claim() == free
    assert parked() == dict.fromkeys(held, "pause:send")


def test_a_job_is_paused_for_every_claim_that_starts_later_in_a_queue_without_limits_too(
    configure: Configure, office: Office
) -> None:
    configure()
    held, free = office.add(), office.add("post")
    QueueState.objects.create(queue="mail", job="send", paused_at=timezone.now())

    assert office.claim() == []
    assert office.more
    assert office.claim() == [free]
    assert parked() == {held: "pause:send"}


def test_a_flood_of_one_key_holds_nobody_else_up(configure: Configure, office: Office) -> None:
    configure(**PER_KEY)
    office.add_many(6_000, key="7")
    others = [*office.add_many(3), office.add(key="8")]

    claimed = office.claim(10)

    assert claimed[1:] == others
    assert office.more
    assert 3_000 < len(parked()) < 6_000


def test_a_flood_of_one_key_in_the_line_of_a_job_holds_nobody_else_up(configure: Configure, office: Office) -> None:
    """Who came while the job was full waits for the job, whatever its key."""
    configure(concurrent_jobs_per_key=1, jobs={"send": {"concurrent_jobs": 2}})
    first, second = office.add(key="1"), office.add(key="2")
    office.claim()
    flood = office.add_many(150, key="7")
    other = office.add(key="8")
    Run.objects.filter(pk__in=[*flood, other]).update(blocked_on="job:send")
    assert office.claim(ended=[first]) == flood[:1]

    assert office.claim(ended=[second]) == [other]

    assert len(parked()) == 149


def test_those_whom_a_full_worker_leaves_to_others_are_no_more_than_can_start(
    configure: Configure, office: Office
) -> None:
    configure(concurrent_jobs_per_key=1, jobs={"send": {"concurrent_jobs": 3}})
    first = [office.add(key=key) for key in "123"]
    office.claim()
    office.add_many(10, key="1")
    others = [office.add(key=key) for key in "45678"]
    Run.objects.filter(state="pending").update(blocked_on="job:send")

    assert office.claim(1, ended=first[1:]) == others[:1]

    assert list(Run.objects.filter(state="pending", blocked_on=None).values_list("pk", flat=True)) == others[1:2]


def test_a_flood_is_met_once(configure: Configure, office: Office) -> None:
    configure(**PER_KEY)
    office.add_many(6_000, key="7")
    while True:
        office.claim(10)
        if not office.more:
            break

    assert len(parked()) == 5_999


def test_who_has_expired_in_line_is_not_called(configure: Configure, office: Office) -> None:
    configure(**PER_KEY)
    first, second, third = office.add_many(3, key="7")
    office.claim()
    Run.objects.filter(pk=second).update(expires_at=timezone.now() - timedelta(minutes=1))

    assert office.claim(ended=[first]) == [third]


def test_nobody_is_forgotten_in_the_line_of_a_key_that_is_not_his_any_more(configure: Configure) -> None:
    in_order = {"concurrent_jobs_per_key": 1, "keep_order": True}
    configure(**in_order)
    office = Office()
    first, *strays = [office.add(job, key="7") for job in ("post", "send", "send")]
    last = office.add("post", key="7")
    assert office.claim() == [first]

    configure(jobs={"send": {"concurrent_jobs_per_key": 1}}, **in_order)
    later = Office("worker-b")
    later.held = office.held
    order = later.claim(ended=[first])

    assert parked() == {strays[1]: "key:/7"}
    while later.held:
        Sweep().turn()
        order += later.claim(ended=list(later.held))
    assert order == [strays[0], last, strays[1]]
