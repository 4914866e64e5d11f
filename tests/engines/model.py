"""The engine in plain Python: a dictionary for the table, and a clock that moves on by a second with each call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from django_jobqueue.engines.base import LostRun, NewRun, Note, Ref, Settlement
from django_jobqueue.states import Outcome, Reason, State

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
"""When lost runs were due: nobody who decides of them here looks at it."""


@dataclass
class ModelRun:
    id: int
    queue: str
    priority: int
    run_at: float
    state: State = State.PENDING
    reason: Reason | None = None
    attempt: int = 0
    failures: int = 0
    crashes: int = 0
    snoozes: int = 0
    releases: int = 0
    worker: str | None = None
    lease_until: float | None = None
    cancel_requested: bool = False
    parked: bool = False
    expired: bool = False
    result: str | None = None
    error: str | None = None
    unknown: bool = False
    progress: str | None = None
    metadata: str | None = None
    attempts: list[tuple[int, str, Outcome]] = field(default_factory=list)
    """Number, worker and outcome."""


class Model:
    def __init__(self) -> None:
        self.runs: dict[int, ModelRun] = {}
        self.now = 0.0

    def insert(self, runs: Sequence[NewRun], ids: Sequence[int]) -> None:
        self.now += 1
        for run_id, new in zip(ids, runs, strict=True):
            self.runs[run_id] = ModelRun(run_id, new.queue, new.priority, self.now + new.delay_seconds)

    def claim(self, queue: str, *, worker: str, limit: int, lease_seconds: float) -> list[ModelRun]:
        self.now += 1
        claimable = [run for run in self.pending([queue]) if run.run_at <= self.now and not run.expired]
        claims = sorted(claimable, key=lambda run: (-run.priority, run.run_at, run.id))[:limit]
        for run in claims:
            run.state, run.attempt, run.worker = State.RUNNING, run.attempt + 1, worker
            run.lease_until = self.now + lease_seconds
        return claims

    def renew(self, leases: Sequence[tuple[Ref, float]]) -> dict[Ref, bool]:
        self.now += 1
        ours = [(run, ref, seconds) for ref, seconds in leases if (run := self.held(ref))]
        for run, _ref, seconds in ours:
            run.lease_until = self.now + seconds
        return {ref: run.cancel_requested for run, ref, _seconds in ours}

    def note(self, notes: Sequence[Note]) -> set[Ref]:
        self.now += 1
        ours = [(run, note) for note in notes if (run := self.held(note.ref))]
        for run, note in ours:
            self.keep(run, note)
        return {note.ref for _run, note in ours}

    def settle(self, settlements: Sequence[Settlement], *, lost: bool = False) -> dict[Ref, State]:
        self.now += 1
        ours = [(run, end) for end in settlements if (run := self.held(end.ref))]
        for run, end in ours:
            if end.delete:
                del self.runs[run.id]
                run.state = State.COMPLETED
                continue
            cancelled = run.cancel_requested and (lost or end.state in (State.PENDING, State.DEAD_LETTERED))
            self.leave(run, State.CANCELLED if cancelled else end.state, Reason.CANCELLED if cancelled else end.reason)
            if run.state == State.PENDING:
                run.run_at = self.now + end.delay_seconds
            if end.counter:
                setattr(run, end.counter, getattr(run, end.counter) + 1)
            run.result, run.error, run.unknown = end.result, end.error, False
            self.keep(run, end)
            assert run.worker
            outcome = Outcome.CANCELLED if run.state == State.CANCELLED else end.outcome
            run.attempts.append((run.attempt, run.worker, outcome))
        return {end.ref: run.state for run, end in ours}

    def release(self, refs: Sequence[Ref], *, delay_seconds: float | None, unknown: bool) -> dict[Ref, State]:
        self.now += 1
        ours = [(run, ref) for ref in refs if (run := self.held(ref))]
        for run, _ref in ours:
            if run.cancel_requested:
                self.leave(run, State.CANCELLED, Reason.CANCELLED)
            else:
                self.leave(run, State.PENDING, None)
                run.run_at = min(run.run_at, self.now) if delay_seconds is None else self.now + delay_seconds
            run.releases += 1
            run.unknown = unknown
        return {ref: run.state for run, ref in ours}

    def reap(self, decide: Callable[[LostRun], Settlement], *, limit: int) -> list[tuple[Ref, State]]:
        leases = sorted((run.lease_until, run.id) for run in self.runs.values() if run.lease_until is not None)
        lost = [self.runs[run_id] for until, run_id in leases if until < self.now][:limit]
        ends = [
            decide(
                LostRun(
                    run.id,
                    run.attempt,
                    run.queue,
                    "send",
                    run.worker or "",
                    run.crashes,
                    "at_least_once",
                    None,
                    LONG_AGO,
                )
            )
            for run in lost
        ]
        return list(self.settle(ends, lost=True).items())

    def next_due(self, queues: Sequence[str]) -> float | None:
        return min((run.run_at - self.now for run in self.pending(queues) if not run.expired), default=None)

    def pending(self, queues: Sequence[str]) -> list[ModelRun]:
        return [
            run for run in self.runs.values() if run.state == State.PENDING and run.queue in queues and not run.parked
        ]

    def state(self, run_id: int) -> State | None:
        """None where it was deleted."""
        return self.runs[run_id].state if run_id in self.runs else None

    def held(self, ref: Ref) -> ModelRun | None:
        """The fence."""
        run = self.runs.get(ref.id)
        return run if run and run.attempt == ref.attempt and run.state == State.RUNNING else None

    @staticmethod
    def keep(run: ModelRun, said: Note | Settlement) -> None:
        run.progress = run.progress if said.progress is None else said.progress
        run.metadata = run.metadata if said.metadata is None else said.metadata

    @staticmethod
    def leave(run: ModelRun, state: State, reason: Reason | None) -> None:
        run.state, run.reason, run.lease_until = state, reason, None
