"""What holds while several connections claim, end and sweep at the same moment."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import chain
from time import monotonic
from typing import Any

import pytest
from django.db import connection, connections, transaction

from django_jobqueue.engines.base import Locked
from django_jobqueue.engines.sqlite.lines import SQLiteLines
from django_jobqueue.limiting.sweep import Sweep
from django_jobqueue.models import LimitBucket, QueueState, Run
from django_jobqueue.states import State
from django_jobqueue.worker.exchange import Exchange
from django_jobqueue.worker.leases import Leases
from django_jobqueue.worker.runner import Ended
from tests.limiting.conftest import Configure, Office, ending, parked
from tests.racing import Race, racing, wait_for_the_lock
from tests.worker.bench import PATIENCE_SECONDS

pytestmark = pytest.mark.django_db(transaction=True)

RUNNERS = 4


@pytest.fixture
def race() -> Iterator[Race]:
    """Call a function in four threads at the same moment, each with its number and its own connection."""
    with racing(RUNNERS) as race:
        yield race


@pytest.mark.parametrize(
    ("options", "most"),
    [
        pytest.param({"concurrent_jobs": 3}, 3, id="queue"),
        pytest.param({"jobs": {"send": {"concurrent_jobs": 3}}}, 3, id="job"),
        pytest.param({"concurrent_jobs_per_key": 3}, 3, id="key"),
        pytest.param({"concurrent_jobs_per_key": 1, "keep_order": True}, 1, id="order"),
    ],
)
def test_claimers_together_never_exceed_a_limit_and_use_it_up(
    configure: Configure, race: Race, options: dict[str, Any], most: int
) -> None:
    configure(**options)
    offices = [Office(f"worker-{number}") for number in range(RUNNERS)]
    ids = offices[0].add_many(40, key="7")
    order: list[int] = []

    def work(number: int) -> list[int]:
        """End all that is held, and claim anew."""
        office = offices[number]
        return office.claim(2, ended=list(office.held))

    while len(order) < len(ids):
        batches = race(work)
        running = Run.objects.in_state(State.RUNNING).count()
        assert running <= most
        order += chain(*batches)
        left = len(ids) - Run.objects.in_state(State.COMPLETED).count()
        assert sum(len(office.held) for office in offices) == running == min(most, left)

    assert sorted(order) == ids
    if "keep_order" in options:
        assert order == ids


def test_a_rate_is_never_exceeded_by_claimers_together(configure: Configure, race: Race) -> None:
    configure(rate_limit="1/d", rate_burst=10)
    offices = [Office(f"worker-{number}") for number in range(RUNNERS)]
    offices[0].add_many(40)

    claimed = chain(*race(lambda number: offices[number].claim(5)), *race(lambda number: offices[number].claim(5)))

    assert len(list(claimed)) == 10
    assert len(parked()) == 30
    assert LimitBucket.objects.get().tokens == pytest.approx(0, abs=0.01)


def test_a_rate_gives_in_no_time_more_than_its_burst_and_what_comes_in_it_and_loses_no_token(
    configure: Configure, race: Race
) -> None:
    rate, burst = 10, 600  # a pause of a minute would fill the bucket
    configure(rate_limit=f"{rate}/s", rate_burst=burst)
    offices = [Office(f"worker-{number}") for number in range(RUNNERS)]
    offices[0].add_many(burst + 2 * rate)
    starts: list[tuple[float, float]] = []  # each between the moments before and after its claim

    def claim(number: int) -> None:
        before = monotonic()
        claimed = offices[number].claim(burst)
        starts.extend([(before, monotonic())] * len(claimed))

    def work(number: int) -> None:
        until = monotonic() + PATIENCE_SECONDS
        while len(starts) < burst + rate:
            assert monotonic() < until, "no tokens come"
            claim(number)

    claim(0)
    begun = LimitBucket.objects.get()
    assert len(starts) == burst
    race(work)

    for since in {start[0] for start in starts}:
        for until in {start[1] for start in starts}:
            within = [start for start in starts if since <= start[0] and start[1] <= until]
            assert len(within) <= burst + rate * (until - since) + 1e-3
    ended = LimitBucket.objects.get()
    come = rate * (ended.updated_at - begun.updated_at).total_seconds()
    assert ended.tokens == pytest.approx(begun.tokens + come - (len(starts) - burst), abs=1e-3)


def test_nobody_is_parked_while_the_last_one_ends(configure: Configure, race: Race) -> None:
    configure(concurrent_jobs_per_key=1)
    offices = [Office(f"worker-{number}") for number in range(RUNNERS)]
    for _ in range(25):
        first = offices[0].add(key="7")
        assert offices[0].claim() == [first]
        second = offices[0].add(key="7")

        def act(number: int, first: int = first) -> list[int]:
            """One ends what is running; the others meet the next one, and may park it."""
            if number == 0:
                offices[0].end(first)
                return []
            return offices[number].claim()

        claimed = list(chain(*race(act))) or offices[1].claim()

        assert claimed == [second]
        for office in offices:
            office.end(*office.held)


def test_sweeps_and_claims_at_once_lose_and_exceed_nothing(configure: Configure, race: Race) -> None:
    configure(jobs={"send": {"concurrent_jobs": 2, "concurrent_jobs_per_key": 1}})
    offices = [Office(f"worker-{number}") for number in range(RUNNERS)]
    sweeps = [Sweep() for _ in range(RUNNERS)]
    for number in range(60):
        offices[0].add(key=str(number % 5))
    done = 0

    def work(number: int) -> int:
        office = offices[number]
        if number % 2:
            sweeps[number].turn()
        held = list(office.held)
        office.claim(2, ended=held)
        return len(held)

    while done < 60:
        done += sum(race(work))
        keys = list(Run.objects.in_state(State.RUNNING).values_list("concurrency_key", flat=True))
        assert len(set(keys)) == len(keys) <= 2

    assert Run.objects.in_state(State.COMPLETED).count() == 60


def claimed_by_a_turn() -> int:
    return len(Office("worker-b").claim())


def claimed_by_a_trade() -> int:
    return len(Exchange("worker-b", ["mail"], Leases()).trade([], 3).claims)


@pytest.mark.postgresql
@pytest.mark.parametrize("claim", [claimed_by_a_turn, claimed_by_a_trade])
def test_a_claim_waits_for_the_one_before_it_and_counts_what_that_has_claimed(
    configure: Configure, claim: Callable[[], int]
) -> None:
    configure(concurrent_jobs=3)
    Office().add_many(5)

    with elsewhere() as call, Office("worker-a").limiter.turn(["mail"]) as turn:
        assert len(turn.claim("mail", worker="worker-a", limit=2, lease_seconds=30).claims) == 2
        claimed = call(claim)
        wait_for_the_lock(claimed)
        assert not claimed.done()

    assert claimed.result(timeout=PATIENCE_SECONDS) == 1


@pytest.mark.mysql
@pytest.mark.postgresql
@pytest.mark.parametrize("bound", ["by the driver", "by the server", "by a pooler"])
def test_what_the_lock_tells_is_so_after_the_wait(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    if connection.vendor == "postgresql":
        options = connection.settings_dict["OPTIONS"] | {"server_side_binding": bound == "by the server"}
        monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
        monkeypatch.setitem(connection.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", bound == "by a pooler")
        connection.close()
    configure(concurrent_jobs=2)
    office = Office()
    run_id = office.add(key="7")

    def lock() -> Locked:
        with transaction.atomic():
            return office.engine.lock("default", ["mail"])

    with elsewhere() as call:
        with transaction.atomic():
            office.engine.lock("default", ["mail"])
            locked = call(lock)
            wait_for_the_lock(locked)
            claimed = office.engine.take([run_id], worker="worker-a", lease_seconds=30)
            QueueState.objects.update_or_create(queue="mail", job="send", defaults={"concurrent_jobs": 1})
            until = office.engine.now()
        now, states, running = locked.result(timeout=PATIENCE_SECONDS)

    assert [claim.id for claim in claimed] == [run_id]
    assert now >= until
    assert [(state.job, state.concurrent_jobs) for state in states if state.job] == [("send", 1)]
    assert running == {"mail": [("send", "7", 1)]}
    connection.close()


@pytest.mark.mysql
@pytest.mark.postgresql
def test_a_worker_that_must_wait_before_it_settles_does_not_keep_others_from_claiming(configure: Configure) -> None:
    configure(concurrent_jobs=2)
    first, second = Office().add_many(2)
    exchange = Exchange("worker-a", ["mail"], Leases())
    [claim] = exchange.trade([], 1).claims
    assert claim.id == first

    with elsewhere() as call:
        with transaction.atomic():
            Run.objects.select_for_update().get(pk=first)
            trade = call(lambda: exchange.trade([Ended(claim, ending(claim, State.COMPLETED))], 1))
            wait_for_the_lock(trade)

            assert Office("worker-b").claim() == [second]
        assert trade.result(timeout=PATIENCE_SECONDS).settled


@pytest.mark.postgresql
def test_a_claim_from_a_limited_queue_does_not_wait_for_other_queues(configure: Configure) -> None:
    configure(concurrent_jobs=1)
    run_id = Office().add()

    with elsewhere() as call, transaction.atomic():
        Office().engine.lock("default", ["default", "mai"])
        Office().engine.lock("other", ["mail"])

        assert call(lambda: Office("worker-b").claim()).result(timeout=PATIENCE_SECONDS) == [run_id]


@pytest.mark.postgresql
def test_a_run_that_another_has_locked_is_passed_over(configure: Configure) -> None:
    configure(concurrent_jobs_per_key=2)
    first, second, third = Office().add_many(3, key="7")

    with elsewhere() as call, transaction.atomic():
        Run.objects.select_for_update().get(pk=first)

        assert call(lambda: Office("worker-b").claim()).result(timeout=PATIENCE_SECONDS) == [second, third]


@pytest.mark.sqlite
def test_the_lock_of_sqlite_keeps_writers_out_however_the_transaction_has_begun() -> None:
    path = connection.settings_dict["NAME"]
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as ours,
        closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as theirs,
    ):
        ours.execute("BEGIN DEFERRED")
        theirs.execute("BEGIN IMMEDIATE")
        theirs.execute("ROLLBACK")

        ours.execute(SQLiteLines.LOCK)

        with pytest.raises(sqlite3.OperationalError, match="locked"):
            theirs.execute("BEGIN IMMEDIATE")


@contextmanager
def elsewhere() -> Iterator[Callable[[Callable[[], Any]], Future]]:
    """Call functions in another thread, which has a connection of its own."""
    with ThreadPoolExecutor(1) as pool:
        yield lambda function: pool.submit(function)
        pool.submit(connections.close_all).result()
