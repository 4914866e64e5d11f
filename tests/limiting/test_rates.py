"""No more attempts start in a time than a rate allows; who must wait is given the time of its token, and is no failure."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from django_jobqueue.limiting import buckets
from django_jobqueue.limiting.sweep import Sweep
from django_jobqueue.limits.rate import FAR
from django_jobqueue.models import LimitBucket, QueueState, Run
from django_jobqueue.operations import cancel, explain
from django_jobqueue.operations.obstacles import Rule
from django_jobqueue.states import State
from tests.limiting.conftest import Configure, Office, parked

pytestmark = pytest.mark.django_db

SCOPES = [
    pytest.param({"rate_limit": "1/h"}, "rate:", id="queue"),
    pytest.param({"rate_limit": "1/h", "rate_key": "x"}, "rate:/7", id="key of the queue"),
    pytest.param({"jobs": {"send": {"rate_limit": "1/h"}}}, "rate:send/7", id="job"),
]

HOUR = timedelta(hours=1)


def pass_time(**time: float) -> None:
    """Let all that is written in the buckets, and the times of those who wait, be so much earlier."""
    for bucket in LimitBucket.objects.all():
        for name in ("updated_at", "next_at", "promised_at", "full_at"):
            moment = getattr(bucket, name)
            setattr(bucket, name, moment and moment - timedelta(**time))
        bucket.save()
    for run in Run.objects.exclude(blocked_on=None):
        Run.objects.filter(pk=run.pk).update(run_at=run.run_at - timedelta(**time))


def hours_until(run_id: int) -> float:
    return round((Run.objects.get(pk=run_id).run_at - timezone.now()).total_seconds() / 3600, 1)


@pytest.mark.parametrize(("options", "line"), SCOPES)
def test_who_finds_no_token_is_put_off_to_its_time_one_after_the_other(
    configure: Configure, options: dict[str, Any], line: str
) -> None:
    configure(**options)
    office = Office()
    first, second, third = office.add_many(3, rate_key="7")

    assert office.claim() == [first]
    assert parked() == {second: line, third: line}
    assert [hours_until(run_id) for run_id in (second, third)] == [1, 2]
    run = Run.objects.get(pk=second)
    assert (run.state, run.attempt, run.failures, run.snoozes, run.error) == (State.PENDING, 0, 0, 0, None)

    fourth = office.add(rate_key="7")
    assert office.claim(ended=[first]) == []
    assert hours_until(fourth) == 3

    pass_time(hours=1)
    assert office.claim() == [second]
    pass_time(hours=1)
    assert office.claim() == [third]
    assert office.claim() == []
    assert hours_until(fourth) == 1


@pytest.mark.parametrize("burst", [1, 350])
def test_no_line_is_so_long_and_no_rate_so_slow_that_a_time_cannot_be_told(configure: Configure, burst: int) -> None:
    configure(rate_limit="1/9999d", rate_burst=burst)
    office = Office()
    ids = office.add_many(burst + 350)

    started = office.claim(burst)
    assert office.claim() == []

    waiting = Run.objects.exclude(blocked_on=None).order_by("run_at", "pk")
    assert started == ids[:burst]
    assert list(waiting.values_list("pk", flat=True)) == ids[burst:]
    [until] = [obstacle.until for obstacle in explain(ids[-1]) if obstacle.code == Rule.RATE]
    assert until is not None
    assert until.year == FAR.year


def test_a_burst_starts_at_once_after_a_quiet_time_and_not_more(configure: Configure) -> None:
    configure(rate_limit="60/h", rate_burst=3)
    office = Office()
    office.add_many(20)

    assert len(office.claim()) == 3
    pass_time(minutes=2)
    assert len(office.claim()) == 2
    pass_time(hours=5)
    assert len(office.claim()) == 3


def test_a_time_without_workers_gives_no_more_than_a_burst(configure: Configure) -> None:
    configure(rate_limit="60/h")
    office = Office()
    ids = office.add_many(10)
    office.claim()

    pass_time(hours=1)

    assert office.claim() == ids[1:2]
    assert office.claim() == []
    pass_time(minutes=1)
    assert office.claim() == ids[2:3]


def test_a_clock_that_is_set_back_by_a_day_stops_nobody_for_a_day(configure: Configure) -> None:
    configure(rate_limit="1/h")
    office = Office()
    first, second, third = office.add_many(3)
    assert office.claim() == [first]

    pass_time(days=-1)
    Sweep().turn()

    assert office.claim() == []
    pass_time(hours=1)
    assert office.claim() == [second]
    pass_time(hours=1)
    assert office.claim() == [third]


def test_each_key_has_its_own_rate_and_those_without_share_one(configure: Configure) -> None:
    configure(jobs={"send": {"rate_limit": "1/h"}})
    office = Office()
    a1, a2 = (office.add(rate_key="a") for _ in range(2))
    b1 = office.add(rate_key="b")
    n1, n2 = (office.add() for _ in range(2))
    free = office.add("post")

    assert office.claim() == [a1, b1, n1, free]
    assert parked() == {a2: "rate:send/a", n2: "rate:send"}


def test_a_run_needs_a_token_of_its_job_and_of_its_queue(configure: Configure) -> None:
    configure(rate_limit="2/h", rate_burst=2, jobs={"send": {"rate_limit": "1/h"}})
    office = Office()
    first, second = office.add_many(2)
    posts = office.add_many(2, "post")

    assert office.claim() == [first, posts[0]]
    assert parked() == {second: "rate:send", posts[1]: "rate:"}
    assert [hours_until(second), hours_until(posts[1])] == [1, 0.5]


def test_a_flood_that_its_own_rate_holds_leaves_the_tokens_of_the_queue_to_others(configure: Configure) -> None:
    """Who came while the queue had no token waits for that, though his job or his key has none any more."""
    configure(rate_limit="1/h", jobs={"send": {"rate_limit": "1/d"}})
    office = Office()
    office.add("post")
    office.claim()
    first, *flood = office.add_many(150, rate_key="7")
    others = [office.add(rate_key="8"), office.add("post")]
    assert office.claim() == []
    assert set(parked().values()) == {"rate:"}
    pass_time(hours=1)
    assert office.claim() == [first]

    pass_time(hours=1)
    assert office.claim() == others[:1]
    pass_time(hours=1)
    assert office.claim() == others[1:]

    assert parked() == dict.fromkeys(flood, "rate:send/7")
    assert set(LimitBucket.objects.filter(next_at=None).values_list("key", flat=True)) == {"rate:", "rate:send/8"}


def test_the_highest_priority_gets_the_next_token_and_who_came_first_among_equals(configure: Configure) -> None:
    configure(rate_limit="1/h")
    office = Office()
    office.add()
    office.claim()
    low, middle, late = office.add(priority=-1), office.add(), office.add()
    office.claim()
    high = office.add(priority=9)
    office.claim()

    order = []
    for _ in range(4):
        pass_time(hours=1)
        order += office.claim()

    assert order == [high, middle, late, low]


def test_those_who_come_later_do_not_overtake_those_who_wait(configure: Configure) -> None:
    configure(rate_limit="1/h")
    office = Office()
    _first, second = office.add_many(2)
    office.claim()
    pass_time(hours=1)
    third = office.add(run_at=timezone.now() - timedelta(days=1))

    assert office.claim() == [second]
    assert parked() == {third: "rate:"}


def test_a_token_that_nobody_waits_for_is_for_who_comes(configure: Configure) -> None:
    configure(rate_limit="1/h")
    office = Office()
    _first, second = office.add_many(2)
    office.claim()
    Run.objects.filter(pk=second).delete()
    pass_time(hours=1)
    third = office.add()

    assert office.claim() == [third]


def test_every_attempt_takes_a_token(configure: Configure) -> None:
    configure(rate_limit="1/h")
    office = Office()
    run_id = office.add()
    office.claim()

    assert office.claim(ended=[run_id], state=State.PENDING) == []
    assert parked() == {run_id: "rate:"}
    pass_time(hours=1)
    assert office.claim() == [run_id]


def test_who_is_held_by_a_slot_takes_no_token(configure: Configure) -> None:
    configure(rate_limit="2/h", rate_burst=2, concurrent_jobs_per_key=1)
    office = Office()
    first = office.add(key="a")
    held = office.add(key="a")
    other = office.add(key="b")

    assert office.claim() == [first, other]
    assert parked() == {held: "key:/a"}
    assert office.claim(ended=[first]) == []
    assert parked() == {held: "rate:"}
    pass_time(minutes=30)
    assert office.claim() == [held]


def test_a_token_that_somebody_waits_for_is_told_to_be_taken_and_is(configure: Configure) -> None:
    configure(jobs={"send": {"rate_limit": "1/h"}})
    office = Office()
    _first, waiting = office.add_many(2)
    office.claim()
    pass_time(hours=1)
    newcomer = office.add(priority=1)

    told = {each.limit for each in explain(newcomer) if each.code != Rule.NO_WORKER}

    assert told == {"rate:send"}
    assert office.claim() == [waiting]


def test_a_token_that_nobody_who_waits_can_take_is_told_to_be_free_and_is(configure: Configure) -> None:
    configure(concurrent_jobs_per_key=1, jobs={"send": {"rate_limit": "1/h"}})
    office = Office()
    office.add()
    held = office.add(key="a")
    office.claim()
    assert office.add("post", key="a") in office.claim()  # takes the key
    pass_time(hours=1)
    newcomer = office.add()

    told = {each.limit for each in explain(newcomer) if each.code != Rule.NO_WORKER}

    assert told == set()
    assert office.claim() == [newcomer]
    assert parked() == {held: "key:/a"}


def test_many_who_wait_are_put_off_once(configure: Configure) -> None:
    configure(rate_limit="60/h")
    office = Office()
    ids = office.add_many(300)
    while office.claim() or office.more:
        pass
    before = dict(Run.objects.values_list("pk", "run_at"))
    assert len(parked()) == 299

    LimitBucket.objects.update(updated_at=timezone.now() - timedelta(minutes=1), next_at=timezone.now())
    assert office.claim() == ids[1:2]

    after = dict(Run.objects.values_list("pk", "run_at"))
    assert {run_id for run_id in ids if before[run_id] != after[run_id]} <= {ids[1]}


@pytest.fixture
def tokens_for_three(configure: Configure) -> Office:
    """Of three keys, each has a token again, and somebody who waits for it."""
    configure(jobs={"send": {"rate_limit": "1/h"}})
    office = Office()
    for key in "abc":
        office.add_many(2, rate_key=key)
    office.end(*office.claim())
    pass_time(hours=1)
    return office


def test_a_claim_writes_nothing_of_tokens_that_it_has_no_slot_for(tokens_for_three: Office) -> None:
    before = {bucket.key: bucket.updated_at for bucket in LimitBucket.objects.all()}

    tokens_for_three.claim(1)

    changed = [bucket.key for bucket in LimitBucket.objects.all() if bucket.updated_at != before[bucket.key]]
    assert changed == ["rate:send/a"]


def test_more_lines_with_tokens_than_one_claim_looks_at_are_looked_at_by_the_next(
    tokens_for_three: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes before others is found then, though nobody has taken the tokens of those that were looked at."""
    monkeypatch.setattr(buckets, "MOST_DUE", 2)
    LimitBucket.objects.exclude(key="rate:send/c").update(next_at=timezone.now() - HOUR)
    Run.objects.filter(rate_key="c").update(priority=2)
    newcomers = tokens_for_three.add_many(3, "post", priority=1)

    claimed = [tokens_for_three.claim(1) for _ in range(2)]

    assert claimed == [newcomers[:1], [Run.objects.get(rate_key="c", state="running").pk]]


def test_nothing_is_claimed_ahead_where_there_is_a_rate(configure: Configure) -> None:
    configure(rate_limit="100/s", rate_burst=100)
    office = Office()
    office.add_many(20)

    assert len(office.claim(3, ahead=100)) == 3


@pytest.mark.parametrize("job", ["", "send"])
def test_a_rate_that_an_operator_sets_counts_instead_and_without_a_burst(configure: Configure, job: str) -> None:
    rate = {"rate_limit": "100/s", "rate_burst": 100}
    configure(jobs={"send": rate}) if job else configure(**rate)
    office = Office()
    QueueState.objects.create(queue="mail", job=job, rate_limit="2/h", rate_limit_until=timezone.now() + HOUR)
    office.add_many(5)

    assert len(office.claim()) == 1

    QueueState.objects.update(rate_limit_until=timezone.now() - HOUR)
    Sweep().turn()
    pass_time(seconds=1)
    assert len(office.claim()) == 4


def test_a_rate_that_an_operator_sets_for_a_queue_counts_by_key_only_where_the_queue_does(configure: Configure) -> None:
    configure(jobs={"send": {"rate_key": "id"}})
    office = Office()
    QueueState.objects.create(queue="mail", rate_limit="1/d")
    for number in range(5):
        office.add(rate_key=str(number))

    assert office.claim() == []  # it learns of the rate
    assert len(office.claim()) == 1


def test_a_rate_that_is_gone_with_those_who_waited_for_it_is_forgotten(configure: Configure) -> None:
    """Else very many of them would hide those for whom there is a token."""
    configure(jobs={"send": {"rate_limit": "1/h"}})
    office = Office()
    first, second = office.add_many(2, rate_key="7")
    assert office.claim() == [first]
    cancel(second, actor="ana")

    configure(rate_limit="1/h")
    pass_time(hours=2)
    Office("worker-b").claim()

    assert not LimitBucket.objects.filter(key="rate:send/7").exists()


def test_who_waits_for_a_token_that_is_not_its_own_any_more_is_told_so_until_it_comes(configure: Configure) -> None:
    configure(rate_limit="1/h")
    office = Office()
    first, second = office.add_many(2, rate_key="7")
    assert office.claim() == [first]

    configure(rate_limit="1/h", rate_key="x")

    told = {(each.code, each.limit, each.until) for each in explain(second) if each.code != Rule.NO_WORKER}
    assert told == {(Rule.RATE, "rate:", Run.objects.get(pk=second).run_at)}
    assert Sweep().turn() is False
    assert office.claim() == []
    pass_time(hours=1)
    assert [each.code for each in explain(second)] == [Rule.NO_WORKER]
    assert Office().claim() == [second]
