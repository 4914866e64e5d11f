"""On MariaDB and MySQL a transaction may collide with another, and is undone: a worker does it again, at once."""

from __future__ import annotations

import pytest
from django.db import OperationalError, transaction

from django_jobqueue import job, queues
from django_jobqueue.models import Run
from django_jobqueue.worker.exchange import Exchange
from django_jobqueue.worker.leases import Leases
from django_jobqueue.worker.runner import Ended
from tests.engines.endings import completed
from tests.racing import colliding

pytestmark = [pytest.mark.mysql, pytest.mark.django_db(transaction=True)]

LEASE = "SET run.state = 'running'"
"""What only the last statement of a trade says."""


@pytest.fixture
def leases() -> Leases:
    return Leases()


@pytest.fixture
def exchange(leases: Leases) -> Exchange:
    @job
    def send() -> None:
        """Send."""

    return Exchange("worker-a", ["default"], leases)


@pytest.fixture
def ended(exchange: Exchange) -> Ended:
    """An attempt that has ended, while another run waits."""
    run, _ = queues.default.add("send"), queues.default.add("send")
    [claim] = exchange.trade([], 1).claims
    assert claim.id == run.pk
    return Ended(claim, completed(claim.ref))


def test_a_trade_that_collides_is_done_again_as_a_whole(exchange: Exchange, leases: Leases, ended: Ended) -> None:
    with colliding(LEASE, 1213, 1205):
        trade = exchange.trade([ended], 1)

    first, second = Run.objects.order_by("pk")
    assert trade.settled == [(ended, "completed")]
    assert [claim.id for claim in trade.claims] == [second.pk]
    assert [lease.claim.ref for lease in leases.all()] == [trade.claims[0].ref]
    assert (first.state, first.attempts.count()) == ("completed", 1)
    assert (second.state, second.attempt) == ("running", 1)


def test_a_trade_that_collides_again_and_again_leaves_all_as_it_was(
    exchange: Exchange, leases: Leases, ended: Ended
) -> None:
    with colliding(LEASE, 1213, 1213, 1213), pytest.raises(OperationalError):
        exchange.trade([ended], 1)

    first, second = Run.objects.order_by("pk")
    assert (first.state, first.attempts.count(), second.state) == ("running", 0, "pending")
    assert [lease.claim.ref for lease in leases.all()] == [ended.claim.ref]


def test_what_is_no_collision_is_not_tried_again(exchange: Exchange, ended: Ended) -> None:
    with colliding(LEASE, 2013), pytest.raises(OperationalError):
        exchange.trade([ended], 1)


def test_a_trade_in_the_transaction_of_a_caller_is_his_to_repeat(exchange: Exchange, ended: Ended) -> None:
    with colliding(LEASE, 1213), pytest.raises(OperationalError), transaction.atomic():
        exchange.trade([ended], 1)
