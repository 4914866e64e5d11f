"""How the queues of a worker share its slots. No database: queues are numbers of due runs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from django_jobqueue import job, queues
from django_jobqueue.worker.shares import QUIET_SECONDS, Share, Shares
from tests.worker.bench import Gate, Gauge, Recorder
from tests.worker.conftest import StartWorker, Work

MANY = 10_000


class Slots:
    """The slots of a worker, dealt out to runs that end when the test says so."""

    def __init__(self, shares: Shares, slots: int, due: Mapping[str, int]) -> None:
        self.due = Counter(due)
        self.running: list[str] = []
        """The queue of each run, in the order in which they have started."""
        self.asked: list[str] = []
        """Whom the last turn asked."""
        self.now = 0.0
        self._shares = shares
        self._slots = slots

    @property
    def held(self) -> Counter[str]:
        return Counter(self.running)

    def turn(self, ahead: int = 0) -> Counter[str]:
        """Fill what is free, and let so many more lie ready; answer what has started."""
        self.asked = []
        started: Counter[str] = Counter()
        free = self._slots - len(self.running)
        deal = self._shares.deal(max(0, free), ahead + min(0, free), self.held, now=self.now)
        while ask := deal.ask():
            assert ask.queue not in self.asked, "one statement per queue and turn"
            number = min(ask.slots + ask.ahead, self.due[ask.queue])
            deal.answer(ask, number)
            self.asked.append(ask.queue)
            started[ask.queue] = number
        self.due -= started
        self.running += started.elements()
        return started

    def fill(self, ahead: int = 0) -> None:
        """Take turns until the slots are full."""
        self.turn(ahead)
        self.turn(ahead)

    def end(self, queue: str, number: int = 1) -> None:
        for _ in range(number):
            self.running.remove(queue)

    def work(self, turns: int) -> Counter[str]:
        """Let the run that started first end, so many times; answer how many of each queue started meanwhile."""
        started: Counter[str] = Counter()
        for _ in range(turns):
            del self.running[:1]
            started += self.turn()
            self.now += QUIET_SECONDS
        return started


def slots(number: int, due: Mapping[str, int], *shares: Share, strict: bool = False) -> Slots:
    return Slots(Shares(shares or [Share(queue=queue) for queue in due], strict=strict), number, due)


# --- By weight -----------------------------------------------------------------------------------------------------


def test_one_queue_gets_all_slots() -> None:
    ours = slots(8, {"mail": MANY})

    ours.turn(ahead=50)

    assert ours.held == {"mail": 58}


def test_two_busy_queues_get_half_each() -> None:
    ours = slots(8, {"mail": MANY, "reports": MANY})

    ours.turn()

    assert ours.held == {"mail": 4, "reports": 4}


def test_busy_queues_get_slots_in_proportion_to_their_weights() -> None:
    ours = slots(8, {"mail": MANY, "reports": MANY}, Share(queue="mail", weight=3), Share(queue="reports"))

    ours.turn()

    assert ours.held == {"mail": 6, "reports": 2}


def test_what_lies_ready_is_shared_like_the_slots_themselves() -> None:
    ours = slots(2, {"mail": MANY, "reports": MANY})

    ours.turn(ahead=20)

    assert ours.held == {"mail": 11, "reports": 11}


@pytest.mark.parametrize("weight", [1, 2, 5])
def test_a_single_slot_is_shared_by_turns(weight: int) -> None:
    ours = slots(1, {"mail": MANY, "reports": MANY}, Share(queue="mail", weight=weight), Share(queue="reports"))

    started = ours.work(20 * (weight + 1))

    assert started == {"mail": 20 * weight, "reports": 20}


def test_a_queue_with_long_runs_does_not_keep_another_from_its_slots() -> None:
    ours = slots(4, {"long": MANY, "short": MANY})
    ours.turn()

    for _ in range(100):  # the long ones never end
        ours.end("short")
        ours.turn()

    assert ours.held == {"long": 2, "short": 2}


def test_a_queue_whose_share_is_less_than_a_slot_gets_its_runs_where_all_slots_become_free_together() -> None:
    ours = slots(2, {"light": MANY, "heavy": MANY}, Share(queue="light", weight=1), Share(queue="heavy", weight=3))
    started: Counter[str] = Counter()

    for _ in range(100):
        started += ours.turn()
        ours.running.clear()

    assert started == {"light": 50, "heavy": 150}


def test_a_queue_that_is_behind_and_holds_more_than_its_share_gets_at_once_what_the_others_leave() -> None:
    busy, empty = Share(queue="busy"), Share(queue="empty", served=10.0)
    ours = slots(4, {"busy": MANY}, busy, empty)
    ours.running = ["busy"] * 3

    ours.turn()

    assert ours.held == {"busy": 4}


def test_a_queue_gets_its_share_back_as_soon_as_slots_become_free() -> None:
    ours = slots(4, {"busy": MANY, "quiet": 0})
    ours.fill()
    assert ours.held == {"busy": 4}

    ours.due["quiet"] = 3
    ours.now += QUIET_SECONDS
    for _ in range(2):
        ours.end("busy")
        ours.turn()

    assert ours.held == {"busy": 2, "quiet": 2}


def test_what_a_queue_leaves_goes_to_the_others() -> None:
    ours = slots(8, {"mail": 1, "reports": MANY})

    ours.fill()

    assert ours.held == {"mail": 1, "reports": 7}


def test_a_queue_that_was_empty_is_not_asked_again_for_a_moment_while_another_has_work() -> None:
    ours = slots(1, {"busy": MANY, "quiet": 0})
    ours.turn()
    asked = []

    for _ in range(10):
        ours.end("busy")
        ours.now += QUIET_SECONDS / 5
        ours.turn()
        asked += ours.asked

    assert asked.count("quiet") == 2
    assert asked.count("busy") == 10


def test_an_empty_queue_is_asked_at_once_where_the_others_leave_slots() -> None:
    ours = slots(4, {"mail": 0, "reports": 0})
    ours.turn()

    ours.due["mail"] = 1
    ours.turn()

    assert ours.held == {"mail": 1}


def test_a_queue_that_had_nothing_to_do_for_long_is_not_owed_for_it() -> None:
    ours = slots(1, {"busy": MANY, "quiet": 0})
    ours.work(100)

    ours.due["quiet"] = MANY
    started = ours.work(20)

    assert started["quiet"] <= 11


def test_a_queue_that_comes_back_is_served_at_its_next_turn_whatever_it_got_before() -> None:
    ours = slots(1, {"busy": 0, "quiet": 500})
    ours.work(100)
    ours.due["busy"], ours.due["quiet"] = MANY, 0
    ours.work(100)

    ours.due["quiet"] = 1
    started = ours.work(3)

    assert started["quiet"] == 1


@pytest.mark.parametrize("number", [1, 3, 8])
def test_beside_ten_thousand_due_runs_a_run_of_another_queue_starts_with_the_next_claims(number: int) -> None:
    ours = slots(number, {"busy": MANY, "quiet": 0})
    ours.work(50)

    ours.due["quiet"] = 1
    started = ours.work(2)

    assert started["quiet"] == 1


def test_no_more_are_asked_for_at_once_than_the_batch_of_the_queue() -> None:
    ours = slots(50, {"mail": MANY}, Share(queue="mail", batch_size=20))

    ours.turn()

    assert ours.held == {"mail": 20}


# --- In strict order -----------------------------------------------------------------------------------------------


def test_in_strict_order_a_queue_gets_only_what_those_before_it_leave() -> None:
    ours = slots(4, {"mail": 6, "reports": MANY}, strict=True)

    ours.turn()
    assert ours.held == {"mail": 4}

    ours.end("mail", 4)
    ours.turn()
    assert ours.held == {"mail": 2, "reports": 2}


def test_in_strict_order_the_first_queue_is_asked_first_each_time() -> None:
    ours = slots(1, {"mail": 0, "reports": MANY}, strict=True)
    ours.turn()

    ours.due["mail"] = 1
    ours.end("reports")
    ours.turn()

    assert ours.held == {"mail": 1}


# --- Slots of a queue ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strict", [False, True])
def test_a_queue_holds_no_more_than_its_slots_and_the_others_get_the_rest(strict: bool) -> None:
    mail, default = Share(queue="mail", slots=2), Share(queue="default")
    ours = slots(8, {"mail": MANY, "default": MANY}, mail, default, strict=strict)

    for _ in range(3):
        ours.turn(ahead=10)

    assert ours.held == {"mail": 2, "default": 16}


def test_a_queue_whose_slots_are_full_is_not_asked() -> None:
    ours = slots(8, {"mail": MANY}, Share(queue="mail", slots=2))
    ours.turn()

    ours.turn()

    assert ours.asked == []


def test_slots_that_are_free_but_not_for_a_queue_promise_no_more_of_it() -> None:
    shares = Shares([Share(queue="mail", slots=2)])
    deal = shares.deal(8, 0, {}, now=0.0)
    ask = deal.ask()
    assert ask is not None

    assert deal.answer(ask, 2) is False


# --- Whatever comes ------------------------------------------------------------------------------------------------

QUEUES = ["a", "b", "c", "d"]

shares = st.builds(
    lambda weights, limits, strict: Shares(
        [Share(queue=queue, weight=weights[queue], slots=limits[queue]) for queue in QUEUES], strict=strict
    ),
    st.fixed_dictionaries({queue: st.integers(1, 10) for queue in QUEUES}),
    st.fixed_dictionaries({queue: st.none() | st.integers(1, 6) for queue in QUEUES}),
    st.booleans(),
)
due = st.fixed_dictionaries({queue: st.sampled_from([0, 0, 1, 3, MANY]) for queue in QUEUES})


@pytest.mark.sqlite  # no database is asked
@given(shares=shares, slots=st.integers(1, 20), ahead=st.integers(0, 50), due=due, data=st.data())
def test_never_more_than_is_free_and_nothing_is_left_that_somebody_could_take(
    shares: Shares, slots: int, ahead: int, due: dict[str, int], data: st.DataObject
) -> None:
    ours = Slots(shares, slots, due)
    limits = {share.queue: share.slots for share in shares._shares}

    for _ in range(data.draw(st.integers(1, 4))):
        for _ in range(len(QUEUES) + 2):
            ours.turn(ahead)
        assert ours.held.total() <= slots + ahead
        assert all(ours.held[queue] <= limit for queue, limit in limits.items() if limit is not None)
        could_take = [
            queue
            for queue in QUEUES
            if ours.due[queue] and ((limit := limits[queue]) is None or ours.held[queue] < limit)
        ]
        assert ours.held.total() == slots + ahead or not could_take
        ended = data.draw(st.sampled_from([queue for queue in QUEUES if ours.held[queue]] or [""]))
        if ended:
            ours.end(ended, data.draw(st.integers(1, ours.held[ended])))
        ours.now += data.draw(st.sampled_from([0.0, QUIET_SECONDS]))


@pytest.mark.sqlite  # no database is asked
@given(weights=st.lists(st.integers(1, 8), min_size=2, max_size=4), slots=st.integers(1, 12))
def test_while_all_are_busy_each_starts_runs_in_proportion_to_its_weight(weights: list[int], slots: int) -> None:
    names = QUEUES[: len(weights)]
    of = dict(zip(names, weights, strict=True))
    ours = Slots(Shares([Share(queue=name, weight=of[name]) for name in names]), slots, dict.fromkeys(names, MANY))

    started = ours.work(50 * sum(weights))

    for name in names:
        assert started[name] / started.total() == pytest.approx(of[name] / sum(weights), abs=0.05)


# --- In a worker ---------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_run_of_a_quiet_queue_starts_soon_beside_very_many_of_a_busy_one(
    start_worker: StartWorker, observer: Recorder, settings: Settings
) -> None:
    settings.JOBQUEUE = {"worker": {"poll_seconds": 0.02}, "queues": {"busy": {}, "quiet": {}}}

    def take_a_while() -> None:
        time.sleep(0.011)  # long enough that none is claimed ahead

    job(queue="busy")(take_a_while)
    job(queue="quiet")(take_a_while)
    queues.busy.bulk_add({"job": "take_a_while", "priority": 100} for _ in range(500))

    with start_worker("busy", "quiet", concurrency=1) as worker:
        observer.wait_for(lambda: len(observer.settled) >= 5)
        run = queues.quiet.add("take_a_while")
        before = len(observer.settled)
        observer.wait_until_settled(run)
        at = observer.settled_ids().index(run.id)
        worker.stop()

    assert at - before <= 10  # 50 ms in which an empty queue need not be asked, and those that were on their way


@pytest.mark.django_db(transaction=True)
def test_in_strict_order_the_queue_named_first_is_emptied_first(work: Work, settings: Settings) -> None:
    settings.JOBQUEUE = {"worker": {"poll_seconds": 0.02}, "queues": {"first": {}, "second": {}}}
    started = []

    job(queue="first", name="note")(lambda: started.append("first"))
    job(queue="second", name="note")(lambda: started.append("second"))
    queues.second.bulk_add([{"job": "note", "priority": 100} for _ in range(20)])
    queues.first.bulk_add([{"job": "note"} for _ in range(20)])

    work("first", "second", concurrency=1, strict=True)

    assert started == ["first"] * 20 + ["second"] * 20


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("seconds", [0.0, 0.02])
def test_a_queue_runs_in_no_more_slots_than_it_was_given(work: Work, settings: Settings, seconds: float) -> None:
    settings.JOBQUEUE = {"worker": {"poll_seconds": 0.02}, "queues": {"mail": {}, "default": {}}}
    gauges = {"mail": Gauge(), "default": Gauge()}

    def of(queue: str) -> None:
        def count() -> None:
            with gauges[queue]:
                time.sleep(seconds)

        job(queue=queue, name="count")(count)

    of("mail")
    of("default")
    queues.mail.bulk_add([{"job": "count"} for _ in range(60)])
    queues.default.bulk_add([{"job": "count"} for _ in range(60)])

    work("mail", "default", concurrency=6, slots={"mail": 2})

    assert gauges["mail"].peak <= 2
    assert 1 <= gauges["default"].peak <= 6


@pytest.mark.django_db(transaction=True)
def test_a_queue_that_may_hold_more_slots_takes_them_while_another_is_full(
    start_worker: StartWorker, observer: Recorder, gate: Gate, settings: Settings
) -> None:
    settings.JOBQUEUE = {"worker": {"poll_seconds": 0.02}, "queues": {"mail": {}, "default": {}}}
    job(queue="mail", name="wait")(gate.wait_to_pass)
    job(queue="default", name="pass")(lambda: None)
    queues.mail.bulk_add([{"job": "wait"} for _ in range(5)])

    with start_worker("mail", "default", concurrency=3, slots={"mail": 2}):
        gate.wait_for_job()
        gate.wait_for_job()
        passing = [queues.default.add("pass") for _ in range(20)]
        observer.wait_until_settled(*passing)
        running = queues.mail.runs(state="running").count()
        gate.open()
        observer.wait_for(lambda: len(observer.settled) == 25)

    assert running == 2
