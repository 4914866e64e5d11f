"""Switches: a job that computes does not hold up the worker for long, nor does it find Python changed elsewhere."""

from __future__ import annotations

import sys

import pytest

from django_jobqueue import job, queues
from django_jobqueue.models import Run
from tests.worker.conftest import Work

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(("usual", "expected"), [(0.005, 0.001), (0.0001, 0.0001)], ids=["usual", "set shorter"])
def test_threads_switch_often_while_a_worker_works_and_as_before_when_it_has_ended(
    work: Work, usual: float, expected: float
) -> None:
    @job
    def tell() -> float:
        return sys.getswitchinterval()

    queues.default.add("tell")
    before = sys.getswitchinterval()
    sys.setswitchinterval(usual)
    try:
        work()
        assert sys.getswitchinterval() == pytest.approx(usual)
    finally:
        sys.setswitchinterval(before)

    assert Run.objects.get().result == pytest.approx(expected)
