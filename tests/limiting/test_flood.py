"""A key with thousands of waiting runs delays nobody else's."""

from __future__ import annotations

import pytest
from django.db import connection

from django_jobqueue.limiting.claim import LATER_WINDOWS
from django_jobqueue.models import Run
from tests.limiting.conftest import Configure, Office
from tests.many import multiply

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

FLOOD = 20_000
SLOTS = 10


def test_a_flood_of_one_key_delays_no_other_and_is_put_out_of_the_way_bit_by_bit(configure: Configure) -> None:
    configure(concurrent_jobs_per_key=1)
    office = Office()
    first = office.add(key="flood", priority=1)
    multiply(first, FLOOD - 1)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    others = [*(office.add(key=key) for key in "abc"), office.add(), office.add("post", key="d")]

    assert office.claim(SLOTS) == [first, *others]

    most, parked = SLOTS + sum(LATER_WINDOWS), waiting()
    for number in range(3):
        newcomer = office.add(key=f"new-{number}")
        assert office.claim(SLOTS) == [newcomer]
        before, parked = parked, waiting()
        assert before < parked <= before + most

    Run.objects.filter(state="pending", concurrency_key="flood").update(blocked_on="key:/flood")  # as it would go on
    assert waiting() == FLOOD - 1
    assert office.claim(SLOTS) == []
    in_turn = list(Run.objects.filter(blocked_on="key:/flood").order_by("id").values_list("id", flat=True)[:3])
    for before, run_id in zip([first, *in_turn], in_turn, strict=False):
        assert office.claim(SLOTS, ended=[before]) == [run_id]
    assert waiting() == FLOOD - 4


def waiting() -> int:
    return Run.objects.filter(blocked_on="key:/flood").count()
