"""The checker: what may be true after any chaos, and what may not. The numbers up to C10 are those of the reliability study."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, TypeAlias

from django_jobqueue.models import Attempt, Run
from django_jobqueue.states import FINAL_STATES, Outcome, State
from tests.acceptance.programs import Effect
from tests.chaos.settings import ATOMIC, EVERY_SECONDS

ENDED = {Outcome.COMPLETED, Outcome.FAILED, Outcome.DEAD_LETTERED, Outcome.CANCELLED}
"""Outcomes of an attempt after which no other may come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is left when all is over: the database, and what stands outside of it."""

    acknowledged: set[int]
    runs: dict[int, Run]
    attempts: Sequence[Attempt]
    effects: Sequence[Effect]
    events: Sequence[dict[str, Any]]
    """What the workers printed of attempts that they have settled."""
    lost: set[tuple[int, int]]
    """The attempts of which a worker has said that their lease was lost."""
    dropped: set[tuple[int, int]]
    """Those of them whose result came all the same, and was dropped."""
    written: Sequence[tuple[int, int]]
    """What atomic jobs have left in the database: each time a run, and the attempt that wrote it."""
    kills: dict[int, float]
    """When which process was killed."""
    lease_seconds: float
    forgivable_seconds: float
    """How much later than its lease the run of a killed worker may start again; and how soon that of a child is given back."""
    clock_is_right: bool = True
    """Whether the times in the database can be compared to others."""
    exits: Sequence[tuple[str, int, int]] = ()
    """Each worker that has ended by itself, its exit code, and the one that it should have had."""
    orphans: Sequence[str] = ()

    starts: dict[int, list[Effect]] = field(init=False)
    """The executions of each run, in their order."""

    def __post_init__(self) -> None:
        starts: dict[int, list[Effect]] = defaultdict(list)
        for effect in self.effects:
            if effect.word == "start":
                starts[effect.run_id].append(effect)
        object.__setattr__(self, "starts", starts)

    def end_of(self, start: Effect) -> float | None:
        """When an execution has ended, by itself or with its process; None where nobody knows."""
        for effect in self.effects:
            if effect[:3] == start[:3] and effect.word == "end":
                return effect.at
        return self.kills.get(start.pid)

    def comebacks(self) -> list[tuple[int, float]]:
        """The runs that a kill of their worker cut off for the first time, and the seconds until they started again."""
        found = []
        for attempt in self.attempts:
            if attempt.number == 1 and attempt.outcome == Outcome.CRASHED:
                starts = {start.attempt: start for start in self.starts[attempt.run_id]}
                worker = int(attempt.worker.split(":")[1])
                if worker in self.kills and 2 in starts:
                    found.append((attempt.run_id, starts[2].at - self.kills[worker]))
        return found

    def releases(self) -> list[tuple[int, float]]:
        """The runs whose child was killed, and the seconds until their worker had given them back."""
        crashed = {
            (event["run"], event["attempt"]): datetime.fromisoformat(event["time"]).timestamp()
            for event in self.events
            if event["outcome"] == Outcome.CRASHED
        }
        workers = {(attempt.run_id, attempt.number): int(attempt.worker.split(":")[1]) for attempt in self.attempts}
        return [
            (run_id, crashed[run_id, start.attempt] - self.kills[start.pid])
            for run_id, starts in self.starts.items()
            for start in starts
            if start.pid in self.kills
            and (run_id, start.attempt) in crashed
            and workers[run_id, start.attempt] != start.pid
        ]


Check: TypeAlias = Callable[[Evidence], Iterator[str]]


def violations(evidence: Evidence) -> list[str]:
    """All that should not be, each with the number of its check."""
    return [f"{check.__name__.upper()[:3].rstrip('_')}: {what}" for check in CHECKS for what in check(evidence)]


def c1_every_run_ends(evidence: Evidence) -> Iterator[str]:
    for run_id in sorted(evidence.acknowledged):
        run = evidence.runs.get(run_id)
        if run is None or run.state not in FINAL_STATES:
            yield f"run {run_id} is {run and run.state}"


def c2_nothing_runs_that_was_not_added(evidence: Evidence) -> Iterator[str]:
    scheduled = {run.id for run in evidence.runs.values() if run.schedule_id is not None}
    for run_id in sorted((set(evidence.starts) | set(evidence.runs)) - evidence.acknowledged - scheduled):
        yield f"run {run_id} was not added"


def c3_a_run_ends_once(evidence: Evidence) -> Iterator[str]:
    ends = Counter(attempt.run_id for attempt in evidence.attempts if attempt.outcome in ENDED)
    for run_id, count in ends.items():
        if count > 1:
            yield f"run {run_id} has {count} attempts that ended it"
    told = [event for event in evidence.events if event["state"] in FINAL_STATES]
    for run_id, count in Counter(event["run"] for event in told).items():
        if count > 1:
            yield f"the end of run {run_id} was told {count} times"
    for event in told:
        run = evidence.runs[event["run"]]
        if (event["state"], event["attempt"]) != (run.state, run.attempt):
            yield f"run {run.id} is {run.state} by attempt {run.attempt}, and was told to be {event['state']} by {event['attempt']}"


def c4_nothing_starts_after_the_end(evidence: Evidence) -> Iterator[str]:
    for run_id, starts in evidence.starts.items():
        run = evidence.runs.get(run_id)
        if run is not None and run.finished_at is not None:
            for start in starts:
                late = evidence.clock_is_right and start.at > run.finished_at.timestamp()
                if late or start.attempt > run.attempt:
                    yield f"run {run_id} has ended by attempt {run.attempt}, and attempt {start.attempt} was started"


def c5_every_attempt_is_accounted_for(evidence: Evidence) -> Iterator[str]:
    for run_id, starts in evidence.starts.items():
        for (_, attempt), count in Counter((start.run_id, start.attempt) for start in starts).items():
            if count > 1:
                yield f"attempt {attempt} of run {run_id} was started {count} times"
    for run in evidence.runs.values():
        counted = run.failures + run.crashes + run.releases + run.snoozes + (run.state == State.COMPLETED)
        if run.attempt != counted:
            yield f"run {run.id} had {run.attempt} attempts, of which {counted} are counted"
        if run.delivery == "at_most_once" and len(evidence.starts[run.id]) > 1:
            yield f"run {run.id} was started {len(evidence.starts[run.id])} times, and may be once"


def c6_two_work_on_a_run_only_where_one_has_lost_it(evidence: Evidence) -> Iterator[str]:
    for run_id, starts in evidence.starts.items():
        for first, second in pairwise(starts):
            end = evidence.end_of(first)
            if end is not None and second.at < end and (run_id, first.attempt) not in evidence.lost:
                yield f"attempts {first.attempt} and {second.attempt} of run {run_id} overlapped"


def c7_a_killed_run_starts_again_in_time(evidence: Evidence) -> Iterator[str]:
    for run_id, seconds in evidence.comebacks():
        if seconds > evidence.lease_seconds + evidence.forgivable_seconds:
            yield f"run {run_id} started again {seconds:.2f} s after its worker was killed"
    for run_id, seconds in evidence.releases():
        if seconds > evidence.forgivable_seconds:
            yield f"run {run_id} was given back {seconds:.2f} s after its child was killed"


def c8_the_last_attempt_decides(evidence: Evidence) -> Iterator[str]:
    for run in evidence.runs.values():
        if run.state == State.COMPLETED and run.result != f"by attempt {run.attempt}":
            yield f"run {run.id} came to its attempt {run.attempt}, and its result is {run.result!r}"


def c9_a_due_time_makes_one_run(evidence: Evidence) -> Iterator[str]:
    fired = sorted((run.fires_at, run.missed or 0) for run in evidence.runs.values() if run.fires_at is not None)
    if not fired:
        yield "the schedule has made no run"
    for (before, _), (fires_at, missed) in pairwise(fired):
        if fires_at == before:
            yield f"the schedule made two runs for {fires_at}"
        elif fires_at != before + timedelta(seconds=(1 + missed) * EVERY_SECONDS):
            yield f"the schedule made runs for {before} and {fires_at}, which stands for {missed} earlier ones, and none between"


def c10_nothing_is_left_behind(evidence: Evidence) -> Iterator[str]:
    for worker, code, expected in evidence.exits:
        if code != expected:
            yield f"worker {worker} ended with exit code {code}, not {expected}"
    for orphan in evidence.orphans:
        yield f"{orphan} was left behind"
    for run in evidence.runs.values():
        if run.lease_until is not None:
            yield f"run {run.id} is held by {run.worker}, which has ended"


def c11_what_an_atomic_job_writes_stands_with_its_end(evidence: Evidence) -> Iterator[str]:
    written = Counter(evidence.written)
    ends = {
        (run.id, run.attempt) for run in evidence.runs.values() if run.job in ATOMIC and run.state == State.COMPLETED
    }
    for run_id, attempt in sorted(ends | set(written)):
        expected = int((run_id, attempt) in ends)
        if written[run_id, attempt] != expected:
            yield f"attempt {attempt} of run {run_id} has written {written[run_id, attempt]} times, not {expected}"


CHECKS: tuple[Check, ...] = (
    c1_every_run_ends,
    c2_nothing_runs_that_was_not_added,
    c3_a_run_ends_once,
    c4_nothing_starts_after_the_end,
    c5_every_attempt_is_accounted_for,
    c6_two_work_on_a_run_only_where_one_has_lost_it,
    c7_a_killed_run_starts_again_in_time,
    c8_the_last_attempt_decides,
    c9_a_due_time_makes_one_run,
    c10_nothing_is_left_behind,
    c11_what_an_atomic_job_writes_stands_with_its_end,
)
