"""A claim that counts: from a queue that is limited as a whole, and in nothing else."""

from __future__ import annotations

from itertools import product
from math import inf
from time import monotonic

import pytest
from django.db import connection, transaction
from django.utils import timezone

from django_jobqueue.engines.base import Bound, Bounds, Engine, NewRun, Room, bounds
from django_jobqueue.engines.postgresql.counted_claiming import PostgreSQLCountedClaiming
from django_jobqueue.models import QueueState, Run
from tests.engines.conftest import MakeRun

pytestmark = pytest.mark.django_db

PLACE = ("default", "mail")


@pytest.fixture(autouse=True)
def no_claim_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor sets bounds therefore, however busy the machine."""
    monkeypatch.setattr(bounds, "SLOW_SECONDS", inf)


class Counting:
    """Whoever claims from a queue of which so many runs may be running."""

    def __init__(self, engine: Engine, most: int) -> None:
        self.bounds = Bounds()
        self.more = False
        self._engine = engine
        self._most = most

    def claim(self, wanted: int, ahead: int = 0) -> list[int]:
        claims, self.more = self._engine.claim_counted(
            *PLACE,
            worker="worker-a",
            room=Room(self._most, wanted, ahead),
            lease_seconds=30,
            bounds=self.bounds,
        )
        return [claim.id for claim in claims]

    def begin_at(self, run: Run) -> None:
        """Let claims be bounded by *run*, however long the test takes, and each of them."""
        bound = Bound(run.priority, run.run_at, run.id)
        self.bounds.set(*PLACE, [bound], seconds=inf, now=monotonic() + 1000)

    @property
    def levels(self) -> list[Bound]:
        return self.bounds.of(*PLACE, now=monotonic())


@pytest.mark.parametrize(
    ("room", "running", "number"),
    [
        (Room(10, 3), 0, 3),
        (Room(10, 3), 8, 2),
        (Room(10, 3), 10, 0),
        (Room(10, 3), 12, 0),
        (Room(10, 3, ahead=4), 0, 5),
        (Room(10, 1, ahead=2), 0, 3),
        (Room(10, 3, ahead=4), 2, 3),
        (Room(10, 0, ahead=4), 4, 1),
        (Room(10, 0, ahead=4), 5, 0),
    ],
)
def test_there_is_room_for_those_wanted_and_for_those_ahead_up_to_a_half(room: Room, running: int, number: int) -> None:
    assert room.left(running) == number


@pytest.mark.postgresql
def test_postgresql_finds_as_much_room(engine: PostgreSQLCountedClaiming, make_run: MakeRun) -> None:
    for _ in range(3):
        make_run()
    engine.claim(*PLACE, worker="worker-a", limit=3, lease_seconds=30)
    rooms = [Room(*numbers) for numbers in product((1, 2, 3, 4, 7, 20), (0, 1, 5), (0, 1, 5, 50))]

    found = []
    for most, wanted, ahead in rooms:
        parameters = {"namespace": "default", "queue": "mail", "most": most, "wanted": wanted, "ahead": ahead}
        [[number, _]] = engine.fetch(engine.COUNT, parameters)
        found.append(number)

    assert found == [room.left(3) for room in rooms]


def test_no_more_is_claimed_than_there_is_room_for(engine: Engine, make_run: MakeRun) -> None:
    ids = [make_run(priority=-number) for number in range(9)]
    make_run(queue="other")
    engine.claim("default", "other", worker="worker-b", limit=1, lease_seconds=30)
    counting = Counting(engine, most=5)

    assert counting.claim(2) == ids[:2]
    assert counting.more
    assert counting.claim(9) == ids[2:5]
    assert not counting.more
    assert counting.claim(9) == []


def test_there_may_be_more_where_all_came_that_were_asked_for(engine: Engine, make_run: MakeRun) -> None:
    ids = [make_run() for _ in range(4)]
    counting = Counting(engine, most=100)

    assert counting.claim(1, ahead=2) == ids[:3]
    assert counting.more
    assert counting.claim(1, ahead=2) == ids[3:]
    assert not counting.more


@pytest.mark.parametrize("is_bounded", [False, pytest.param(True, marks=pytest.mark.postgresql)])
def test_nothing_is_claimed_where_an_operator_has_paused_something(
    engine: Engine, make_run: MakeRun, is_bounded: bool
) -> None:
    run = Run.objects.get(pk=make_run())
    counting = Counting(engine, most=5)
    if is_bounded:
        counting.begin_at(run)
    QueueState.objects.create(queue="mail", job="send", paused_at=timezone.now())

    assert counting.claim(1) == []


@pytest.mark.postgresql
def test_a_slow_claim_sets_bounds_behind_which_the_next_ones_count_too(
    engine: Engine, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "SLOW_SECONDS", -1.0)
    monkeypatch.setattr(bounds, "TIMES", inf)
    monkeypatch.setattr(bounds, "LONGEST_SECONDS", 1000.0)
    monkeypatch.setattr(bounds, "WORTH", 0.0)
    ids = [make_run() for _ in range(6)]
    counting = Counting(engine, most=4)

    assert counting.claim(1) == ids[:1]
    assert [level.id for level in counting.levels] == [ids[1]]
    [overtaken] = engine.insert("default", [NewRun(queue="mail", job="send", run_at=timezone.now().replace(year=2020))])
    assert counting.claim(1) == ids[1:2]
    assert counting.claim(5) == ids[2:4]
    assert not counting.more
    assert counting.levels, "as many came as there was room for"
    Run.objects.filter(pk__in=ids[:4]).delete()
    assert counting.claim(4) == ids[4:]
    assert (counting.more, counting.levels) == (True, [])
    assert counting.claim(1) == [overtaken.id]


@pytest.mark.postgresql
def test_a_level_that_no_bound_knows_is_not_overtaken(engine: Engine, make_run: MakeRun) -> None:
    low = Run.objects.get(pk=make_run())
    counting = Counting(engine, most=5)
    counting.begin_at(low)
    make_run(priority=1)

    assert (counting.claim(1), counting.more) == ([], True)


@pytest.mark.postgresql
@pytest.mark.parametrize("bound", ["by the driver", "by the server", "by a pooler"])
@pytest.mark.django_db(transaction=True)
def test_the_last_claim_of_a_transaction_ends_it(
    engine: Engine, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    options = connection.settings_dict["OPTIONS"] | {"server_side_binding": bound == "by the server"}
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
    monkeypatch.setitem(connection.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", bound == "by a pooler")
    connection.close()
    ids = [make_run(), make_run()]

    with transaction.atomic():
        for last in (True, False):
            engine.claim_counted(*PLACE, worker="worker-a", room=Room(5, 1), lease_seconds=30, last=last)
        transaction.set_rollback(True)

    assert set(Run.objects.filter(state="running").values_list("id", flat=True)) == {ids[0]}
    connection.close()
