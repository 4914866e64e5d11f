"""Every order in which two workers, two reapers and a person can act on one run, tried breadth first.

Each step is one statement, as the engine commits it. Between any two of them as much time may pass as it likes, so that a
lease ends; a process may die; and a reply may be lost, after which the worker sends the same again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from django_jobqueue.states import FINAL_STATES, Delivery, State

MAX_ATTEMPTS, MAX_CRASHES, MOST_CLAIMS = 2, 2, 3


class Row(NamedTuple):
    """The run, as it is stored."""

    state: State = State.PENDING
    attempt: int = 0
    failures: int = 0
    crashes: int = 0
    cancel_requested: bool = False
    leased: bool = False
    """Whether the lease is not over; it is held, over or not, in ``running`` only."""


class Hand(NamedTuple):
    """The run, as a worker holds it."""

    attempt: int
    begun: bool = False
    """Whether the job was called."""
    sent: State | None = None
    """What it has sent to settle the attempt, without a reply."""


class World(NamedTuple):
    row: Row = Row()
    workers: tuple[Hand | None, Hand | None] = (None, None)
    reapers: tuple[Row | None, Row | None] = (None, None)
    """Each with the run as it has read it."""
    begun: int = 0
    """How often the job was called."""
    ended: int = 0
    """How often the run came to a final state."""


class Step(NamedTuple):
    what: str
    world: World
    broken: str | None = None
    """The promise that it breaks."""


@dataclass(frozen=True)
class Interleavings:
    """What the fences of workers and reapers, in the WHERE of their statements, let through: any of the columns that
    they may look at.
    """

    worker_fence: frozenset[str]
    """Of ``running`` and ``attempt``."""
    reaper_fence: frozenset[str]
    """Of ``running``, ``attempt`` and ``lease``."""
    delivery: Delivery = Delivery.AT_LEAST_ONCE
    reapers: int = 2
    """How many there are, up to two."""

    def first_broken(self) -> str | None:
        """The shortest way to a broken promise; None where there is none."""
        came_from: dict[World, tuple[World, str] | None] = {World(): None}
        leads_to: dict[World, list[World]] = {}
        waiting = deque([World()])
        while waiting:
            world = waiting.popleft()
            steps = list(self._steps(world))
            for step in steps:
                if step.broken:
                    return f"{step.broken}: {_way(came_from, world)}, {step.what}"
                if step.world not in came_from:
                    came_from[step.world] = world, step.what
                    waiting.append(step.world)
            leads_to[world] = [step.world for step in steps if not step.what.startswith("somebody")]
        stuck = _never_final(leads_to)
        return f"stuck: {_way(came_from, stuck[0])}" if stuck else None

    def _steps(self, world: World) -> Iterator[Step]:
        for number in (0, 1):
            yield from self._worker_steps(world, number)
        for number in range(self.reapers):
            yield from self._reaper_steps(world, number)
        row = world.row
        if row.leased:
            yield Step("the lease ends", world._replace(row=row._replace(leased=False)))
        if row.state == State.PENDING:
            yield self._write(world, "somebody cancels", row, State.CANCELLED)
        if row.state == State.RUNNING and not row.cancel_requested:
            yield Step("somebody asks to cancel", world._replace(row=row._replace(cancel_requested=True)))

    def _worker_steps(self, world: World, number: int) -> Iterator[Step]:
        hand, row, name = world.workers[number], world.row, f"worker {number + 1}"
        if hand is None:
            if row.state == State.PENDING and row.attempt < MOST_CLAIMS:
                claimed = row._replace(state=State.RUNNING, attempt=row.attempt + 1, leased=True)
                yield Step(f"{name} claims", _held(world._replace(row=claimed), number, Hand(claimed.attempt)))
            return
        yield Step(f"{name} dies", _held(world, number, None))
        if hand.begun:
            yield from self._ends(world, number, hand)
        else:
            broken = "begun twice" if world.begun and self.delivery == Delivery.AT_MOST_ONCE else None
            begun = _held(world._replace(begun=min(2, world.begun + 1)), number, hand._replace(begun=True))
            yield Step(f"{name} calls the job", begun, broken)
        if not hand.sent and (not hand.begun or self.delivery == Delivery.AT_LEAST_ONCE):
            yield from self._sends(world, number, hand, "hands it back", State.PENDING)
        if (row.state, row.attempt, row.leased) == (State.RUNNING, hand.attempt, False):
            yield Step(f"{name} renews late", world._replace(row=row._replace(leased=True)))

    def _ends(self, world: World, number: int, hand: Hand) -> Iterator[Step]:
        """Settle an attempt whose job has returned or raised; again, where it was sent without a reply."""
        if hand.sent in (None, State.COMPLETED):
            yield from self._sends(world, number, hand, "completes", State.COMPLETED)
        if hand.sent in (None, State.FAILED):
            yield from self._sends(world, number, hand, "fails", State.FAILED)

    def _sends(self, world: World, number: int, hand: Hand, what: str, end: State) -> Iterator[Step]:
        row, name = world.row, f"worker {number + 1}"
        passes = {"running": row.state == State.RUNNING, "attempt": row.attempt == hand.attempt}
        if not all(passes[column] for column in self.worker_fence):
            yield Step(f"{name} {what}, in vain", _held(world, number, None))
            return
        failures = row.failures + (end == State.FAILED)
        state = self._state_after(end, row, failures)
        step = self._write(world, f"{name} {what}", row._replace(failures=failures), state, hand.attempt)
        yield step._replace(world=_held(step.world, number, None))
        if end != State.PENDING:
            unheard = _held(step.world, number, hand._replace(sent=end))
            yield step._replace(what=f"{step.what} without a reply", world=unheard)

    def _state_after(self, end: State, row: Row, failures: int) -> State:
        if end == State.COMPLETED:
            return end
        if row.cancel_requested:
            return State.CANCELLED
        if end == State.FAILED and (failures >= MAX_ATTEMPTS or self.delivery == Delivery.AT_MOST_ONCE):
            return State.DEAD_LETTERED
        return State.PENDING

    def _reaper_steps(self, world: World, number: int) -> Iterator[Step]:
        read, row, name = world.reapers[number], world.row, f"reaper {number + 1}"
        if read is None:
            if row.state == State.RUNNING and not row.leased:
                yield Step(f"{name} reads", _read(world, number, row))
            return
        passes = {
            "running": row.state == State.RUNNING,
            "attempt": row.attempt == read.attempt,
            "lease": not row.leased,
        }
        world = _read(world, number, None)
        if not all(passes[column] for column in self.reaper_fence):
            yield Step(f"{name} leaves it", world)
            return
        crashes = read.crashes + 1
        state = State.PENDING
        if row.cancel_requested:
            state = State.CANCELLED
        elif crashes >= MAX_CRASHES or self.delivery == Delivery.AT_MOST_ONCE:
            state = State.DEAD_LETTERED
        broken = "a living attempt is reaped" if row.leased else None
        step = self._write(world, f"{name} takes it", row._replace(crashes=crashes), state, read.attempt)
        yield step._replace(broken=step.broken or broken)

    def _write(self, world: World, what: str, row: Row, state: State, attempt: int | None = None) -> Step:
        """Let the run come to a state, for an *attempt* or for a person; tell which promise that breaks."""
        old = world.row
        broken = None
        if old.state in FINAL_STATES:
            broken = "a final state changes" if state != old.state else "final twice"
        elif attempt is not None and (old.state, old.attempt) != (State.RUNNING, attempt):
            broken = "decided by who does not hold it"
        elif old.cancel_requested and state == State.PENDING:
            broken = "pending again, though it was asked to cancel"
        ended = world.ended + (state in FINAL_STATES)
        return Step(what, world._replace(row=row._replace(state=state, leased=False), ended=ended), broken)


def _held(world: World, number: int, hand: Hand | None) -> World:
    first, second = world.workers
    return world._replace(workers=(hand, second) if number == 0 else (first, hand))


def _read(world: World, number: int, row: Row | None) -> World:
    first, second = world.reapers
    return world._replace(reapers=(row, second) if number == 0 else (first, row))


def _way(came_from: dict[World, tuple[World, str] | None], world: World) -> str:
    """How a world came to be."""
    steps = []
    while came := came_from[world]:
        world, what = came
        steps.append(what)
    return ", ".join(reversed(steps))


def _never_final(leads_to: dict[World, list[World]]) -> list[World]:
    """The worlds from which the run can reach no final state without a person, or would need more claims than we look at."""
    comes_from: dict[World, list[World]] = {}
    for world, following in leads_to.items():
        for each in following:
            comes_from.setdefault(each, []).append(world)
    waiting = [world for world in leads_to if world.row.state in FINAL_STATES or _is_at_the_bound(world.row)]
    good = set(waiting)
    while waiting:
        for world in comes_from.get(waiting.pop(), []):
            if world not in good:
                good.add(world)
                waiting.append(world)
    return [world for world in leads_to if world not in good]


def _is_at_the_bound(row: Row) -> bool:
    return row.state == State.PENDING and row.attempt == MOST_CLAIMS
