"""No more runs of a queue are running than ``concurrent_jobs`` allows."""

from __future__ import annotations

import pytest
from django.utils import timezone

from django_jobqueue.engines.base import NewRun
from django_jobqueue.models import QueueState, Run
from django_jobqueue.states import State
from tests.limiting.conftest import Configure, Office, parked

pytestmark = pytest.mark.django_db


def test_no_more_runs_are_running_than_the_queue_allows(configure: Configure) -> None:
    configure(concurrent_jobs=5)
    office = Office()
    for priority in range(9):
        office.add(priority=priority // 2)

    batches = [office.claim(2) for _ in range(4)]

    assert [len(batch) for batch in batches] == [2, 2, 1, 0]
    assert parked() == {}


def test_what_ends_makes_room_in_the_same_transaction(configure: Configure) -> None:
    configure(concurrent_jobs=2)
    office = Office()
    ids = office.add_many(4)
    office.claim()

    assert office.claim(ended=ids[:1]) == ids[2:3]
    assert office.claim(ended=ids[1:3]) == ids[3:]


def test_a_limit_counts_the_running_runs_of_its_own_queue_only(configure: Configure) -> None:
    configure(concurrent_jobs=2)
    office = Office()
    for namespace, queue in [("default", "default"), ("other", "mail")]:
        office.engine.insert(namespace, [NewRun(queue=queue, job="send")])
        office.engine.claim(namespace, queue, worker="worker-b", limit=1, lease_seconds=30)
    ours = office.add_many(3)

    assert office.claim() == ours[:2]


def test_a_run_whose_lease_is_over_counts_until_it_is_reaped(configure: Configure) -> None:
    configure(concurrent_jobs=1)
    office = Office()
    office.add_many(2)
    office.lose(*office.claim())

    assert office.claim() == []


@pytest.mark.parametrize(("now_allowed", "claimed"), [(1, 0), (2, 0), (4, 1)])
def test_a_limit_that_an_operator_sets_counts_instead(configure: Configure, now_allowed: int, claimed: int) -> None:
    configure(concurrent_jobs=3)
    office = Office()
    office.add_many(6)
    office.claim()

    QueueState.objects.update_or_create(queue="mail", defaults={"concurrent_jobs": now_allowed})

    assert len(office.claim()) == claimed


def test_a_limit_that_an_operator_sets_as_it_was_declared_holds_up_nobody(configure: Configure) -> None:
    configure(concurrent_jobs=3)
    office = Office()
    office.add_many(6)

    QueueState.objects.create(queue="mail", concurrent_jobs=3)

    batches = [office.claim(2) for _ in range(3)]
    assert [len(batch) for batch in batches] == [2, 1, 0]


def test_a_limit_that_an_operator_sets_for_a_queue_without_one_counts_from_the_next_claim_on(
    configure: Configure,
) -> None:
    configure()
    office, other = Office(), Office("worker-b")
    office.add_many(5)
    assert len(office.claim(1)) == 1

    QueueState.objects.create(queue="mail", concurrent_jobs=2)

    assert office.claim() == []
    assert office.more  # it has found the limit, and will take its lock
    assert len(office.claim()) == 1
    assert other.claim() == other.claim() == []

    QueueState.objects.all().delete()
    assert len(office.claim()) == 3


def test_a_paused_queue_yields_nothing_however_it_is_limited(configure: Configure) -> None:
    configure(concurrent_jobs=5, concurrent_jobs_per_key=1)
    office = Office()
    first, _second = office.add_many(2, key="7")
    office.claim()
    QueueState.objects.update_or_create(queue="mail", defaults={"paused_at": timezone.now()})

    assert office.claim(ended=[first]) == []
    assert not office.more
    assert parked() == {}


def test_a_worker_claims_nothing_ahead_that_another_could_start(configure: Configure) -> None:
    configure(concurrent_jobs=10)
    office = Office()
    office.add_many(20)

    assert len(office.claim(1, ahead=100)) == 5
    assert len(office.claim(0, ahead=100)) == 0
    assert len(office.claim(100)) == 5
    assert Run.objects.in_state(State.RUNNING).count() == 10


def test_a_queue_with_a_limited_job_counts_both(configure: Configure) -> None:
    configure(concurrent_jobs=2, jobs={"send": {"concurrent_jobs": 1}})
    office = Office()
    first, second = office.add_many(2)
    others = office.add_many(2, "post")

    assert office.claim() == [first, others[0]]
    assert parked() == {second: "job:send"}
