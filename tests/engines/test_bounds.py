"""Bounded claims: they begin where the last one did, and miss nothing for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from math import inf
from time import monotonic
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, example, given
from hypothesis import settings as how
from hypothesis import strategies as st
from pytest_django import Settings

from django_jobqueue import operations
from django_jobqueue.engines.base import Bound, Bounds, Claim, Engine, NewRun, Placing, Ref
from django_jobqueue.engines.base import bounds as bounds_module
from django_jobqueue.engines.base.bounds import LONGEST_SECONDS, PATIENCE
from django_jobqueue.limits import Limit
from django_jobqueue.models import Run
from tests.engines.conftest import MakeRun
from tests.engines.endings import retried
from tests.snapshots import held_snapshot

PLACE = ("default", "mail")
NOW = datetime(2030, 1, 1)  # noqa: DTZ001  # one moment is as good as another


def claim_of(run_id: int, *, priority: int = 0, run_at: datetime = NOW) -> Claim:
    return Claim(
        id=run_id, attempt=1, queue="mail", job="send", version=1, payload="{}", priority=priority, run_at=run_at,
        failures=0, crashes=0, releases=0, max_attempts=None, delivery="at_least_once", metadata=None,
        concurrency_key=None, tags=None, tenant=None, user=None, trace_id=None,
    )  # fmt: skip


# --- When claims are bounded ---------------------------------------------------------------------------------------


def test_nothing_is_bounded_before_a_whole_claim_was_slow() -> None:
    bounds = Bounds()

    assert bounds.of(*PLACE, now=0.0) == []
    assert not bounds.are_wanted(*PLACE, seconds=0.001, now=0.0)
    assert bounds.are_wanted(*PLACE, seconds=0.01, now=0.0)


@pytest.mark.parametrize(("seconds", "for_seconds"), [(0.01, 0.2), (0.5, LONGEST_SECONDS)])
def test_claims_are_bounded_for_a_moment_that_whole_ones_cost_little_of(seconds: float, for_seconds: float) -> None:
    bounds = Bounds()
    bounds.set(*PLACE, [Bound(0, NOW, 1)], seconds=seconds, now=10.0)

    assert bounds.of(*PLACE, now=10.0 + for_seconds - 0.001) == [Bound(0, NOW, 1)]
    assert bounds.of(*PLACE, now=10.0 + for_seconds) == []
    assert bounds.of("default", "other", now=10.0) == []


def test_what_it_took_to_find_the_bounds_counts_too() -> None:
    bounds = Bounds()
    bounds.set(*PLACE, [Bound(0, NOW, 1)], seconds=0.01, looking=0.02, now=10.0)

    assert bounds.of(*PLACE, now=10.599) == [Bound(0, NOW, 1)]
    assert bounds.of(*PLACE, now=10.601) == []


def test_bounds_that_do_not_help_are_left_alone_for_a_while() -> None:
    bounds = Bounds()
    bounds.set(*PLACE, [Bound(0, NOW, 1)], seconds=0.01, now=10.0)

    for _ in range(PATIENCE):
        bounds.move(*PLACE, [claim_of(2)], enough=True, seconds=0.006, now=10.1)

    assert bounds.of(*PLACE, now=10.1) == []
    assert not bounds.are_wanted(*PLACE, seconds=0.01, now=10.2)
    assert bounds.are_wanted(*PLACE, seconds=0.01, now=10.1 + LONGEST_SECONDS)


def test_bounds_are_kept_though_a_busy_machine_makes_some_claims_slow() -> None:
    bounds = Bounds()
    bounds.set(*PLACE, [Bound(0, NOW, 1)], seconds=0.01, now=10.0)

    for seconds in (0.006, 0.006, 0.001, 0.006, 0.006):
        bounds.move(*PLACE, [claim_of(2)], enough=True, seconds=seconds, now=10.1)
    bounds.set(*PLACE, [Bound(0, NOW, 2)], seconds=0.01, now=10.2)
    bounds.move(*PLACE, [claim_of(3)], enough=True, seconds=0.006, now=10.2)

    assert bounds.of(*PLACE, now=10.3) == [Bound(0, NOW, 3)]
    assert bounds.are_wanted(*PLACE, seconds=0.01, now=10.3)


def test_the_next_claim_begins_in_each_level_at_the_first_run_of_this_one() -> None:
    bounds = Bounds()
    bounds.set(*PLACE, [Bound(5, NOW, 1), Bound(0, NOW, 2), Bound(-5, NOW, 3)], seconds=0.1, now=10.0)

    claims = [claim_of(11, priority=5), claim_of(12, priority=5), claim_of(13)]
    bounds.move(*PLACE, claims, enough=True, seconds=0.001, now=10.0)

    assert bounds.of(*PLACE, now=10.0) == [Bound(5, NOW, 11), Bound(0, NOW, 13), Bound(-5, NOW, 3)]


def test_a_claim_that_does_not_find_enough_is_followed_by_whole_ones() -> None:
    bounds = Bounds()
    bounds.set(*PLACE, [Bound(0, NOW, 1)], seconds=0.1, now=10.0)

    bounds.move(*PLACE, [claim_of(2)], enough=False, seconds=0.001, now=10.0)

    assert bounds.of(*PLACE, now=10.0) == []


def test_a_level_that_is_empty_keeps_its_bound_and_a_level_that_is_not_begins_at_its_head() -> None:
    bounds = Bounds()
    bounds.set(*PLACE, [Bound(5, NOW, 1), Bound(0, NOW, 9)], seconds=0.1, now=10.0)

    bounds.set(*PLACE, [Bound(0, NOW, 4)], seconds=0.1, now=11.0)

    assert bounds.of(*PLACE, now=11.0) == [Bound(5, NOW, 1), Bound(0, NOW, 4)]


# --- What they take ------------------------------------------------------------------------------------------------


class Bounded:
    """Whoever claims behind bounds, for as long as it is told."""

    def __init__(self, engine: Engine) -> None:
        self.bounds = Bounds()
        self._engine = engine

    def set_bounds(self) -> None:
        """Begin from now on at the first pending run of each level, as after a slow claim."""
        pending = Run.objects.filter(queue="mail", state="pending", blocked_on=None).order_by("-run_at", "-id")
        heads = {run.priority: Bound(run.priority, run.run_at, run.id) for run in pending}
        now = monotonic() + 1000  # so that no busy machine makes it too long ago
        self.bounds.set(*PLACE, heads.values(), seconds=inf, now=now)  # nor any claim too slow

    @property
    def levels(self) -> list[Bound]:
        return self.bounds.of(*PLACE, now=monotonic())

    def is_bounded(self) -> bool:
        return bool(self.levels)

    def end_bounds(self) -> None:
        """Let the time of bounded claims be over."""
        self.bounds._queues[PLACE].until = 0.0

    def claim(self, limit: int) -> list[int]:
        claims = self._engine.claim(*PLACE, worker="worker-a", limit=limit, lease_seconds=30, bounds=self.bounds)
        return [claim.id for claim in claims]

    def look(self, limit: int, *held: Limit) -> list[int]:
        """As whoever claims under limits looks who is next."""
        return [run.id for run in self._engine.candidates(*PLACE, limit=limit, held=held, bounds=self.bounds)]


@pytest.fixture
def bounded(engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Bounded:
    monkeypatch.setattr(bounds_module, "SLOW_SECONDS", inf)  # so that only the test sets bounds
    settings.JOBQUEUE = {"queues": {"mail": {}}}
    return Bounded(engine)


@pytest.mark.django_db
@pytest.mark.postgresql
def test_a_bounded_claim_takes_the_next_runs_of_all_levels_in_order(bounded: Bounded, make_run: MakeRun) -> None:
    low = [make_run(priority=-1) for _ in range(3)]
    make_run(priority=1, delay_seconds=60)
    high = [make_run(priority=5) for _ in range(3)]
    bounded.set_bounds()

    taken = [bounded.claim(2), bounded.claim(2), bounded.claim(2)]

    assert taken == [high[:2], [high[2], low[0]], low[1:]]
    assert bounded.is_bounded()


@pytest.mark.django_db
@pytest.mark.postgresql
def test_a_bounded_claim_waits_for_a_pause_and_passes_over_what_is_not_due_or_expired(
    bounded: Bounded, make_run: MakeRun
) -> None:
    make_run(delay_seconds=60)
    make_run(priority=3, expires_at=timezone.now() - timedelta(seconds=1))
    due = make_run()
    bounded.set_bounds()

    operations.pause_queue("mail", actor="ana")
    paused = bounded.claim(1)
    operations.resume_queue("mail", actor="ana")
    bounded.set_bounds()

    assert (paused, bounded.claim(1)) == ([], [due])


def put_before(how: str, engine: Engine, claimed: int, bound_at: datetime) -> int:
    """Let a run come to stand before the bound; answer with its id."""
    earlier = bound_at - timedelta(hours=1)
    match how:
        case "added for a time that is over":
            return engine.insert("default", [NewRun(queue="mail", job="send", run_at=earlier)])[0].id
        case "put off to a time that is over":
            later = engine.insert("default", [NewRun(queue="mail", job="send", delay_seconds=60)])[0].id
            operations.reschedule(later, next_run_at=earlier, actor="ana")
            return later
        case "let go from its line":
            [parked] = engine.insert("default", [NewRun(queue="mail", job="send", run_at=earlier)])
            engine.place([Placing(parked.id, "job:send")])
            engine.place([Placing(parked.id, None)])
            return parked.id
        case "committed late":  # by one who began to add it before the bound was set
            added = engine.insert("default", [NewRun(queue="mail", job="send")])[0].id
            Run.objects.filter(pk=added).update(run_at=bound_at - timedelta(milliseconds=5))
            return added
        case "retried":
            ref = Run.objects.filter(pk=claimed).values_list("id", "attempt")[0]
            engine.settle([retried(Ref(*ref), delay_seconds=0.0, run_at=earlier)])
            return claimed
        case "added after the clock was put back":
            moved = engine.insert("default", [NewRun(queue="mail", job="send")])[0].id
            Run.objects.filter(pk=moved).update(run_at=earlier)
            return moved
    raise AssertionError(how)


WAYS = [
    "added for a time that is over",
    "put off to a time that is over",
    "let go from its line",
    "committed late",
    "retried",
    "added after the clock was put back",
]


@pytest.mark.django_db
@pytest.mark.postgresql
@pytest.mark.parametrize("way", WAYS)
def test_a_run_before_the_bound_is_taken_at_once_where_no_other_is_left(
    bounded: Bounded, make_run: MakeRun, engine: Engine, way: str
) -> None:
    first, behind = make_run(), make_run()
    assert bounded.claim(1) == [first]
    bounded.set_bounds()
    before = put_before(way, engine, first, Run.objects.get(pk=behind).run_at)

    assert set(bounded.claim(2)) == {before, behind}


@pytest.mark.django_db
@pytest.mark.postgresql
@pytest.mark.parametrize("way", WAYS)
def test_a_run_before_the_bound_is_the_next_one_when_the_time_of_the_bounds_is_over(
    bounded: Bounded, make_run: MakeRun, engine: Engine, way: str
) -> None:
    first = make_run()
    behind = [make_run() for _ in range(4)]
    assert bounded.claim(1) == [first]
    bounded.set_bounds()
    before = put_before(way, engine, first, Run.objects.get(pk=behind[0]).run_at)

    overtaking = bounded.claim(1)
    bounded.end_bounds()

    assert (overtaking, bounded.claim(1)) == (behind[:1], [before])


@pytest.mark.django_db
@pytest.mark.postgresql
@pytest.mark.parametrize("priority", [9, 3, 1])
def test_a_run_of_a_level_that_no_bound_knows_is_taken_before_those_below_it(
    bounded: Bounded, make_run: MakeRun, priority: int
) -> None:
    make_run(priority=5, delay_seconds=60)
    low = [make_run(priority=0) for _ in range(3)]
    bounded.set_bounds()

    first = bounded.claim(1)
    new = make_run(priority=priority)

    assert (first, bounded.claim(2)) == (low[:1], [new, low[1]])


@pytest.mark.django_db
@pytest.mark.postgresql
def test_a_run_of_a_level_that_was_empty_is_taken_before_those_below_it(bounded: Bounded, make_run: MakeRun) -> None:
    high = make_run(priority=5)
    low = [make_run(priority=0) for _ in range(3)]
    bounded.set_bounds()
    assert bounded.claim(2) == [high, low[0]]

    again = make_run(priority=5)

    assert bounded.claim(1) == [again]
    assert bounded.is_bounded()


@pytest.mark.django_db
@pytest.mark.postgresql
def test_who_looks_behind_bounds_sees_what_stands_before_them_only_where_no_other_is_left(
    bounded: Bounded, make_run: MakeRun, engine: Engine
) -> None:
    low, high = [make_run() for _ in range(3)], [make_run(priority=5) for _ in range(2)]
    bounded.set_bounds()
    before = put_before("let go from its line", engine, 0, timezone.now())

    assert bounded.look(3) == [*high, low[0]]
    assert bounded.is_bounded()
    assert bounded.look(7) == [*high, before, *low]
    assert not bounded.is_bounded()


@pytest.mark.django_db
@pytest.mark.postgresql
def test_who_looks_behind_bounds_sees_a_level_that_no_bound_knows(bounded: Bounded, make_run: MakeRun) -> None:
    low = [make_run() for _ in range(3)]
    bounded.set_bounds()

    new = make_run(priority=1)

    assert bounded.look(2) == [new, low[0]]


@pytest.mark.django_db
@pytest.mark.postgresql
def test_the_next_look_begins_behind_those_that_are_gone_but_not_behind_those_passed_over(
    bounded: Bounded, make_run: MakeRun, engine: Engine
) -> None:
    gone, *others = [make_run(concurrency_key=key) for key in ("1", "7", "7", "1", "1")]
    bounded.set_bounds()
    first = bounded.look(1)
    engine.take(first, worker="worker-a", lease_seconds=30)

    bounded.look(1)
    assert bounded.levels[0].id == others[0]
    assert bounded.look(2, Limit("key", "", "7")) == others[2:]
    assert (first, bounded.look(4)) == ([gone], others)


@pytest.mark.django_db
@pytest.mark.postgresql
def test_a_slow_look_sets_bounds(bounded: Bounded, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds_module, "SLOW_SECONDS", -1.0)
    ids = [make_run() for _ in range(2)]

    bounded.look(3)
    assert not bounded.is_bounded()
    monkeypatch.setattr(bounds_module, "TIMES", inf)
    monkeypatch.setattr(bounds_module, "LONGEST_SECONDS", 1000.0)
    bounded.look(2)

    assert [bound.id for bound in bounded.levels] == ids[:1]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(-2, 2), st.integers(-5, 1)),
        st.tuples(st.just("claim"), st.integers(1, 4), st.just(0)),
        st.tuples(st.just("bound"), st.just(0), st.just(0)),
    ),
    max_size=25,
)


@pytest.mark.django_db
@pytest.mark.postgresql
@how(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=STEPS)
@example(
    steps=[
        *[("add", 0, hours) for hours in (-3, -2, -1)],
        *[("bound", 0, 0), ("claim", 1, 0), ("claim", 1, 0)],  # so that the bound moves
        *[("add", 0, -3), ("claim", 1, 0)],
    ]
)
def test_bounded_claims_take_exactly_what_whole_ones_would(engine: Engine, steps: list[tuple[str, int, int]]) -> None:
    """As many each time; and the very same, unless a run was put before a bound; and in the end all that is due."""
    with rolled_back():
        bounded, begun = Bounded(engine), timezone.now()
        due: dict[int, tuple[int, datetime, int]] = {}
        for step, number, hours in [*steps, ("claim", 100, 0)]:
            if step == "add":
                run_at = begun + timedelta(hours=hours, seconds=-1)
                [new] = engine.insert("default", [NewRun(queue="mail", job="send", priority=number, run_at=run_at)])
                if hours <= 0:
                    due[new.id] = (-number, run_at, new.id)
            elif step == "bound":
                bounded.set_bounds()
            else:
                bound = {level.priority: (level.run_at, level.id) for level in bounded.levels}
                expected = sorted(due, key=lambda run_id: due[run_id])[:number]
                overtaken = [run for run in due.values() if run[1:] < bound.get(-run[0], ())]
                taken = bounded.claim(number)
                assert len(taken) == len(expected)
                assert taken == expected or overtaken
                for run_id in taken:
                    del due[run_id]
        assert not due


@contextmanager
def rolled_back() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


# --- What they cost ------------------------------------------------------------------------------------------------


@pytest.fixture
def new_table(transactional_db: None) -> Iterator[None]:
    """A table of its own pages, for what is dead in it would slow down all tests that follow."""
    execute("TRUNCATE jobqueue_run")
    yield
    execute("TRUNCATE jobqueue_run")


def execute(sql: str, parameters: dict[str, Any] | None = None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)


def fill(count: int, levels: int, *, hours: int) -> None:
    execute(
        """
        INSERT INTO jobqueue_run (
               namespace, queue, job, version, payload, state, priority, run_at, created_at,
               attempt, failures, crashes, snoozes, releases, delivery)
        SELECT 'default', 'mail', 'send', 1, '{}', 'pending', n %% %(levels)s,
               statement_timestamp() + make_interval(hours => %(hours)s), statement_timestamp(),
               0, 0, 0, 0, 0, 'at_least_once'
          FROM generate_series(1, %(count)s) AS n
        """,
        {"count": count, "levels": levels, "hours": hours},
    )


def pages(engine: Engine, bounded: Bounded, whole: str, behind: str) -> int:
    """How many pages are looked at for ten runs, by one of these statements."""
    bounds = bounded.levels
    with rolled_back():
        parameters: dict[str, Any] = {
            "namespace": "default",
            "queue": "mail",
            "worker": "a",
            "limit": 10,
            "lease_seconds": 30,
        }
        parameters |= {"ruled": False, "held": "[]", "bounds": engine.document(bound._asdict() for bound in bounds)}
        sql = getattr(engine, behind if bounds else whole)
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {sql}", parameters)
            [[[plan]]] = cursor.fetchall()
    return int(plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"])


@pytest.mark.slow
@pytest.mark.postgresql
@pytest.mark.usefixtures("new_table")
@pytest.mark.parametrize("levels", [1, 20])
def test_what_is_dead_before_the_bounds_costs_nothing(engine: Engine, bounded: Bounded, levels: int) -> None:
    execute("SET jobqueue.room = 10")  # what the count tells the claim behind it
    ways = [("CLAIM", "CLAIM_BEHIND"), ("CLAIM_COUNTED", "CLAIM_COUNTED_BEHIND"), ("CANDIDATES", "CANDIDATES_BEHIND")]
    fill(60_000, levels, hours=-2)
    fill(1_000, levels, hours=-1)
    fill(1_000, levels, hours=1)
    with held_snapshot():
        execute("DELETE FROM jobqueue_run WHERE run_at < statement_timestamp() - interval '90 minutes'")
        execute("ANALYZE jobqueue_run")
        whole = [pages(engine, bounded, *way) for way in ways]
        bounded.set_bounds()
        behind = [pages(engine, bounded, *way) for way in ways]

    assert min(whole) > 3 * max(behind)
    assert max(behind) < 150 + 10 * levels
