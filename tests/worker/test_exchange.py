"""When a worker looks again that has found nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from time import monotonic

import pytest
from django.utils import timezone
from pytest_django import Settings

from django_jobqueue import job, operations, queues
from django_jobqueue.worker.exchange import Exchange
from django_jobqueue.worker.leases import Leases

pytestmark = pytest.mark.django_db


@pytest.fixture
def seconds_until_due(settings: Settings) -> Callable[[], float | None]:
    """Look, and tell when to look again. What is due in queue ``mail`` is not to be had."""
    settings.JOBQUEUE = {"queues": {"mail": {}, "default": {}}}
    job(queue="mail", name="send")(lambda: None)
    job(queue="default", name="send")(lambda: None)
    operations.pause_queue("mail", actor="ana")
    queues.mail.add("send", next_run_at=timezone.now() - timedelta(minutes=1))
    exchange = Exchange("worker-a", ["mail", "default"], Leases())

    def seconds_until_due() -> float | None:
        looked_at = monotonic()
        assert exchange.trade([], 5).claims == []
        return exchange.seconds_until_due(looked_at)

    return seconds_until_due


def test_what_is_not_to_be_had_does_not_hide_what_comes_in_another_queue(
    seconds_until_due: Callable[[], float | None],
) -> None:
    queues.default.add("send", delay_seconds=3600)

    assert seconds_until_due() == pytest.approx(3600, abs=60)


def test_what_is_not_to_be_had_is_not_looked_for_again(seconds_until_due: Callable[[], float | None]) -> None:
    assert seconds_until_due() is None
