"""What holds while several connections work at the same moment."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import pytest
from django.db import connections, transaction
from django.utils import timezone

from django_jobqueue.engines.base import Claim, Engine, KeptKey, NewRun, Ref
from django_jobqueue.models import Attempt, Run
from django_jobqueue.states import State
from tests.engines import endings
from tests.engines.conftest import Expire, MakeRun, Take
from tests.engines.endings import completed, failed, given_up, sent_back
from tests.racing import Race, wait_for_the_lock
from tests.worker.bench import PATIENCE_SECONDS

pytestmark = pytest.mark.django_db(transaction=True)


def claim(engine: Engine, worker: str, *, limit: int) -> list[Claim]:
    with transaction.atomic():
        return engine.claim("default", "mail", worker=worker, limit=limit, lease_seconds=30)


def claim_elsewhere(engine: Engine) -> list[int]:
    """Claim one run on a connection that is closed again."""
    try:
        return [taken.id for taken in claim(engine, "elsewhere", limit=1)]
    finally:
        connections.close_all()


def test_claimers_never_take_the_same_run(engine: Engine, race: Race) -> None:
    engine.insert("default", [NewRun(queue="mail", job="send", priority=n % 3) for n in range(300)])

    rounds = [race(lambda number: claim(engine, f"worker-{number}", limit=10)) for _ in range(10)]

    claims = list(chain(*chain(*rounds)))
    assert len({taken.id for taken in claims}) == len(claims) == 300
    assert set(Run.objects.values_list("attempt", flat=True)) == {1}


def test_an_attempt_that_many_settle_at_once_ends_once(engine: Engine, make_run: MakeRun, race: Race) -> None:
    for _ in range(10):
        run_id = make_run()
        [taken] = claim(engine, "worker-a", limit=1)

        def settle(number: int, ref: Ref = taken.ref) -> dict[Ref, State]:
            return engine.settle([failed(ref, error=str(number))])

        answers = race(settle)

        assert sorted(len(answer) for answer in answers) == [0, 0, 0, 1]
        assert Attempt.objects.get(run=run_id).error == str(answers.index({taken.ref: State.FAILED}))


def test_a_lost_run_that_many_reap_at_once_is_reaped_once(
    engine: Engine, make_run: MakeRun, take: Take, expire: Expire, race: Race
) -> None:
    def reap(_number: int) -> int:
        return len(endings.reap(engine, "default", sent_back))

    run_id = make_run()
    for crashes in range(1, 11):
        expire(take())

        assert sorted(race(reap)) == [0, 0, 0, 1]
        assert Run.objects.values_list("attempt", "crashes").get(pk=run_id) == (crashes, crashes)


def test_writers_of_the_same_runs_in_any_order_do_not_block_each_other(engine: Engine, race: Race) -> None:
    engine.insert("default", [NewRun(queue="mail", job="send")] * 5_000)  # a table that is worth a scan
    refs = [taken.ref for taken in claim(engine, "worker-a", limit=400)]

    def write(number: int) -> int:
        """Renew half of them in some order, or end some of them from the last on."""
        match number:
            case 0 | 1:
                return len(engine.renew([(ref, 30.0) for ref in random.sample(refs, len(refs) // 2)]))
            case 2:
                return len(engine.settle([completed(ref) for ref in reversed(refs[:20])]))
            case _:
                return len(engine.release(refs[:19:-1][-20:], delay_seconds=3600))

    while refs:
        assert race(write)[2:] == [20, 20]
        del refs[:40]


@pytest.mark.mysql
@pytest.mark.postgresql
def test_batches_with_the_same_locks_in_another_order_do_not_block_each_other(engine: Engine) -> None:
    def insert(*locks: str) -> list[bool]:
        """Insert a batch, and tell which of it were let in."""
        try:
            batch = [NewRun(queue="mail", job="send", unique_lock=lock) for lock in locks]
            return [answer is not None for answer in engine.insert_unique("default", batch)]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        with transaction.atomic():
            engine.insert_unique("default", [NewRun(queue="mail", job="send", unique_lock="lm")])
            first = pool.submit(insert, "la", "lm", "lz")
            wait_for_the_lock(first)
            second = pool.submit(insert, "lz", "lm", "la")
            wait_for_the_lock(second, waiting=2)
            transaction.set_rollback(True)  # now each would want what the other has
        assert sorted([first.result(PATIENCE_SECONDS), second.result(PATIENCE_SECONDS)]) == [[False] * 3, [True] * 3]


@pytest.mark.mysql
@pytest.mark.postgresql
def test_batches_with_the_same_idempotency_keys_in_another_order_do_not_block_each_other(engine: Engine) -> None:
    def keep(run_id: int, *keys: str) -> set[str]:
        """Keep a batch of keys, and tell which of them were let in."""
        try:
            return engine.keep_keys("default", [KeptKey(key, "arguments", run_id) for key in keys], seconds=60)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        with transaction.atomic():
            engine.keep_keys("default", [KeptKey("m", "arguments", 1)], seconds=60)
            first = pool.submit(keep, 2, "a", "m", "z")
            wait_for_the_lock(first)
            second = pool.submit(keep, 3, "z", "m", "a")
            wait_for_the_lock(second, waiting=2)
            transaction.set_rollback(True)
        assert {len(first.result(PATIENCE_SECONDS)), len(second.result(PATIENCE_SECONDS))} == {0, 3}


@pytest.mark.mysql
@pytest.mark.postgresql
def test_a_claim_does_not_wait_for_runs_that_another_is_claiming(engine: Engine, make_run: MakeRun) -> None:
    first, second = make_run(), make_run()

    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        [taken] = claim(engine, "worker-a", limit=1)
        elsewhere = pool.submit(claim_elsewhere, engine).result(PATIENCE_SECONDS)

    assert (taken.id, elsewhere) == (first, [second])


@pytest.mark.mysql
@pytest.mark.postgresql
def test_a_lost_run_that_another_writes_to_is_told_to_be_locked(
    engine: Engine, make_run: MakeRun, take: Take, expire: Expire
) -> None:
    make_run(), make_run()
    locked, free = take(), take()
    expire(locked)
    expire(free)

    def look() -> list[tuple[int, bool]]:
        try:
            return [(lost.id, lost.locked) for lost in engine.lost("default")]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        Run.objects.filter(pk=locked.id).update(cancel_requested_at=timezone.now())
        elsewhere = pool.submit(look).result(PATIENCE_SECONDS)

    assert sorted(elsewhere) == [(locked.id, True), (free.id, False)]
    assert not any(lost.locked for lost in engine.lost("default"))


@pytest.mark.mysql
@pytest.mark.postgresql
def test_a_renewal_on_its_way_keeps_the_run_from_the_reaper(
    engine: Engine, make_run: MakeRun, take: Take, expire: Expire
) -> None:
    make_run()
    taken = take()
    expire(taken)

    def reap() -> list[object]:
        try:
            return list(endings.reap(engine, "default", given_up))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            engine.renew([(taken.ref, 30.0)])
            elsewhere = pool.submit(reap)
            wait_for_the_lock(elsewhere)
        assert elsewhere.result(PATIENCE_SECONDS) == []

    assert engine.renew([(taken.ref, 30.0)]) == {taken.ref: False}
