"""Faults of the database: D1 to D23 of the reliability study. Those of the server befall one of its own."""

from __future__ import annotations

import time

import pytest

from tests.chaos.harness import RUNS, Trial
from tests.chaos.pooler import Pooler
from tests.chaos.proxy import CLAIM, ENTER, SETTLE, Proxy
from tests.chaos.settings import LEASE_SECONDS
from tests.chaos.spare_server import SpareServer

pytestmark = pytest.mark.slow


@pytest.mark.lease(15.0)
@pytest.mark.postgresql
def test_d1_the_database_is_stopped_for_longer_than_a_lease(server: SpareServer, trial: Trial) -> None:
    trial.start_two()
    trial.ledger.add_work(RUNS, longest=0.6)
    trial.effects.wait_for("start", trial.some())

    server.stop("fast")
    trial.faults += 1
    time.sleep(1.05 * trial.lease_seconds)  # nobody could tell of it
    trial.ledger.add_work(1)
    server.start()

    assert trial.finish() == []
    assert crashes(trial) == {0}


@pytest.mark.thorough
@pytest.mark.postgresql
def test_d2_the_database_is_killed_and_started_again(server: SpareServer, trial: Trial) -> None:
    trial.start_two()
    trial.ledger.add_work(RUNS, longest=0.6)

    for part in (0.1, 0.4):
        trial.effects.wait_for("start", int(RUNS * part))
        server.kill()
        trial.faults += 1
        trial.ledger.add_work(1)
        server.start()

    assert trial.finish() == []
    assert crashes(trial) == {0}


@pytest.mark.thorough
@pytest.mark.postgresql
def test_d3_one_session_is_killed_and_the_server_resets_all(server: SpareServer, trial: Trial) -> None:
    trial.start_two()
    trial.ledger.add_work(RUNS)

    for part in (0.1, 0.3, 0.5):
        trial.effects.wait_for("start", int(RUNS * part))
        server.kill_session()
        trial.faults += 1

    assert trial.finish() == []
    assert crashes(trial) == {0}


@pytest.mark.thorough
@pytest.mark.postgresql
def test_d4_all_sessions_are_terminated_again_and_again(server: SpareServer, trial: Trial) -> None:
    trial.start_two()
    trial.ledger.add_work(RUNS, longest=0.6)

    for part in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6):
        trial.effects.wait_for("start", int(RUNS * part))
        trial.faults += server.terminate_sessions()

    assert trial.finish() == []
    assert crashes(trial) == {0}


@pytest.mark.thorough
@pytest.mark.postgresql
def test_d5_the_database_freezes_for_three_leases(server: SpareServer, trial: Trial) -> None:
    trial.start_two()
    trial.ledger.add_work(RUNS, longest=0.6)
    trial.effects.wait_for("start", trial.some())

    with server.frozen():
        trial.faults += 1
        time.sleep(3 * LEASE_SECONDS)  # nobody could tell of it

    assert trial.finish() == []
    assert crashes(trial) == {0}


@pytest.mark.thorough
@pytest.mark.postgresql
def test_d5_the_database_is_frozen_while_a_worker_is_told_to_stop(server: SpareServer, trial: Trial) -> None:
    victim, _ = trial.start("--grace=1"), trial.start()
    trial.ledger.add_work(RUNS, longest=0.6)
    trial.effects.wait_for("start", trial.some())

    with server.frozen():
        trial.faults += 1
        began = time.monotonic()
        trial.expect_exit(victim, victim.stop(), 3)
        assert time.monotonic() - began < 6.5
    assert "The database keeps this worker from coming to its end" in victim.output

    assert trial.finish() == []


@pytest.mark.postgresql
def test_d8_the_replies_to_some_commits_are_lost(server: SpareServer, proxy: Proxy, trial: Trial) -> None:
    for _ in range(2):
        trial.start(environment=proxy.environment)
    trial.ledger.add_work(RUNS)

    for part, statement in [(0.1, CLAIM), (0.2, ENTER), (0.3, SETTLE), (0.4, ENTER), (0.5, CLAIM)]:
        trial.effects.wait_for("start", int(RUNS * part))
        proxy.lose_reply(statement)
        trial.faults += 1
        trial.wait_at_work(lambda: proxy.lost == trial.faults, "the reply is lost")

    assert trial.finish() == []
    assert crashes(trial) == {0}


@pytest.mark.thorough  # with a lease of a second, what is over in 1.2 s is not always taken for an outage
@pytest.mark.postgresql
def test_d9_a_failover_leaves_the_workers_with_a_server_that_is_read_only(server: SpareServer, trial: Trial) -> None:
    workers = trial.start_two()
    trial.ledger.add_work(RUNS)
    trial.effects.wait_for("start", trial.some())

    with server.setting(default_transaction_read_only="on"):
        trial.faults += 1
        time.sleep(1.2 * LEASE_SECONDS)  # nobody could tell of it
        trial.ledger.add_work(1)

    assert trial.finish() == []
    assert crashes(trial) == {0}
    assert all("read-only transaction" in worker.output for worker in workers)


@pytest.mark.thorough
@pytest.mark.postgresql
def test_d11_others_take_all_connections(server: SpareServer, trial: Trial) -> None:
    workers = trial.start_two()
    trial.ledger.add_work(RUNS)
    trial.effects.wait_for("start", trial.some())

    with server.crowded():
        trial.faults += 1
        time.sleep(1.2 * LEASE_SECONDS)  # nobody could tell of it

    assert trial.finish() == []
    assert crashes(trial) == {0}
    assert all("too many clients" in worker.output for worker in workers)


@pytest.mark.thorough
@pytest.mark.postgresql
def test_d15_the_database_ends_transactions_that_are_idle_or_long(server: SpareServer, trial: Trial) -> None:
    """Every job takes longer than either may be: none of our transactions is open meanwhile."""
    with server.setting(idle_in_transaction_session_timeout="300ms", transaction_timeout="1s"):
        trial.start_two()
        for _ in range(RUNS // 5):
            trial.ledger.add("work", {"seconds": 1.2})
        trial.faults += 1

        assert trial.finish() == []
    assert set(trial.runs().values_list("attempt", "failures", "crashes")) == {(1, 0, 0)}
    assert not [line for line in trial.lines() if "does not answer" in line]


@pytest.mark.thorough
@pytest.mark.postgresql
def test_d18_a_pooler_gives_every_transaction_another_session(server: SpareServer, trial: Trial) -> None:
    """As PgBouncer in transaction mode may: workers keep nothing in a session."""
    with Pooler(server.port) as pooler:
        victim, _ = [
            trial.start(environment=pooler.environment, settings="tests.chaos.pooled_settings") for _ in range(2)
        ]
        trial.ledger.add_work(RUNS, longest=1.0)
        trial.effects.wait_for("start", trial.some())
        trial.wait_until_busy(victim)
        turns = pooler.turns
        trial.expect_exit(victim, victim.stop(), 0)

        trial.faults += turns
        assert trial.finish() == []
        assert turns > 0
    assert set(trial.runs().values_list("attempt", "failures", "crashes")) == {(1, 0, 0)}
    assert not [line for line in trial.lines() if "does not answer" in line or "failed" in line]


@pytest.mark.thorough
@pytest.mark.sqlite
def test_d23_two_workers_and_the_web_write_to_one_file(trial: Trial) -> None:
    """The database is never too busy for anybody."""
    trial.start_two()
    for _ in range(10):
        trial.ledger.add_work(RUNS // 5, longest=0.02)
        trial.faults += 1

    assert trial.finish() == []
    assert trial.ledger.unanswered == 0
    assert crashes(trial) == {0}
    assert not [line for line in trial.lines() if "does not answer" in line]


def crashes(trial: Trial) -> set[int]:
    return set(trial.runs().values_list("crashes", flat=True))
