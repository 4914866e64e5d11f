"""A trade with a queue that is limited as a whole takes its lock, claims and commits at once, where it may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import DataError, connection, transaction
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from django_jobqueue.engines.base import bounds
from django_jobqueue.engines.postgresql.engine import PostgreSQLEngine
from django_jobqueue.models import Run
from django_jobqueue.states import State
from django_jobqueue.worker.exchange import Exchange
from django_jobqueue.worker.leases import Leases
from django_jobqueue.worker.runner import Ended
from tests.limiting.conftest import Configure, Office, ending

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgresql]


def statements(trade: Callable[[], Any]) -> list[str]:
    """What is said in a trade."""
    said: list[str] = []

    def listen(execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        said.append(" ".join(sql.split()))
        return execute(sql, *arguments)

    with connection.execute_wrapper(listen):
        trade()
    return said


def test_the_commit_goes_with_the_claim(configure: Configure) -> None:
    configure(concurrent_jobs=2)
    first, second = Office().add_many(2)
    exchange = Exchange("worker-a", ["mail"], Leases())
    [claim] = exchange.trade([], 1).claims

    said = statements(lambda: exchange.trade([Ended(claim, ending(claim, State.COMPLETED))], 1))

    assert said[-1] == "COMMIT"
    assert "pg_advisory_xact_lock" in said[-5]
    states = Run.objects.values_list("id", "state")
    assert dict(states) == {first: "completed", second: "running"}


def test_a_trade_in_the_transaction_of_a_caller_is_his_to_commit(configure: Configure) -> None:
    configure(concurrent_jobs=2)
    Office().add()

    with transaction.atomic():
        assert len(Exchange("worker-a", ["mail"], Leases()).trade([], 1).claims) == 1
        transaction.set_rollback(True)

    assert Run.objects.get().state == State.PENDING


def test_a_worker_of_several_queues_claims_from_all_of_them_before_it_commits(configure: Configure) -> None:
    configure(concurrent_jobs=2)
    Office().add()
    exchange = Exchange("worker-a", ["mail", "default"], Leases())

    assert "COMMIT" not in statements(lambda: exchange.trade([], 2))
    assert Run.objects.get().state == State.RUNNING


def test_several_counted_queues_are_locked_together_so_that_no_two_workers_wait_for_each_other(
    settings: Settings,
) -> None:
    settings.JOBQUEUE = {"queues": {"mail": {"concurrent_jobs": 2}, "post": {"concurrent_jobs": 2}}}
    exchange = Exchange("worker-a", ["post", "mail"], Leases())

    with CaptureQueriesContext(connection) as said:
        exchange.trade([], 2)

    locks = [query["sql"] for query in said if "pg_advisory_xact_lock" in query["sql"]]
    assert len(locks) == 1
    assert '["mail","post"]' in locks[0]


def test_what_was_claimed_before_a_statement_failed_after_the_commit_is_handed_back(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(concurrent_jobs=2)
    first, second = Office().add_many(2)
    exchange = Exchange("worker-a", ["mail"], Leases())
    [claim] = exchange.trade([], 1).claims

    def fail(execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        if sql == PostgreSQLEngine.LEVEL_HEADS:
            raise DataError("no such level")
        return execute(sql, *arguments)

    monkeypatch.setattr(bounds, "SLOW_SECONDS", -1.0)  # so that a claim looks for bounds, when it has committed
    with connection.execute_wrapper(fail):
        trade = exchange.trade([Ended(claim, ending(claim, State.COMPLETED))], 1)

    assert trade.claims == []
    assert Run.objects.get(pk=first).state == State.COMPLETED
    run = Run.objects.get(pk=second)
    assert (run.state, run.attempt, run.crashes, run.releases) == (State.PENDING, 1, 0, 1)
