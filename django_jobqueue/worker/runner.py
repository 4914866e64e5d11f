"""One attempt: a claim goes in, a settlement comes out. The only place where jobs are called."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, NamedTuple

from django_jobqueue.engines.base import Claim, Settlement
from django_jobqueue.errors import PayloadError, shown
from django_jobqueue.jobs import Completed, JobDefinition, Notes, RunContext
from django_jobqueue.worker.verdict import Unreadable, verdict


class Assignment(NamedTuple):
    """What an attempt needs."""

    claim: Claim
    job: JobDefinition
    notes: Notes | None = None
    """What passes between the job and its worker; new where none are given."""


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt that has ended, and is to be settled."""

    claim: Claim
    settlement: Settlement

    @property
    def seconds(self) -> float:
        """How long the job took."""
        started, finished = self.settlement.started, self.settlement.finished
        return finished - started if finished is not None and started is not None else 0.0


@dataclass(frozen=True, slots=True)
class Refused:
    """A run that its ``okay_to_run`` would not let start, and that is to be put back."""

    claim: Claim
    delay_seconds: float


OnStart = Callable[[Claim], None]


def run_attempt(assignment: Assignment, on_start: OnStart | None = None) -> Ended | Refused:
    """Call the job in this thread, if it may run. Whatever it does, this answers.

    *on_start* is called when the attempt starts, which one that is refused never does.
    """
    attempt = _Attempt(assignment, on_start)
    job = assignment.job
    try:
        arguments = attempt.arguments()
        if job.okay_to_run is not None and not _said_yes(job.okay_to_run(*attempt.question(arguments))):
            return attempt.refused()
        attempt.start()
        return attempt.ended(Completed(job.function(**arguments)))
    except BaseException as error:
        return attempt.ended(error)


async def run_async_attempt(assignment: Assignment, on_start: OnStart | None = None) -> Ended | Refused:
    """``run_attempt`` for a coroutine function, on the running loop."""
    attempt = _Attempt(assignment, on_start)
    job = assignment.job
    try:
        arguments = attempt.arguments()
        if job.okay_to_run is not None:
            answer = job.okay_to_run(*attempt.question(arguments))
            if not _said_yes(await answer if inspect.isawaitable(answer) else answer):
                return attempt.refused()
        attempt.start()
        return attempt.ended(Completed(await job.function(**arguments)))
    except BaseException as error:
        return attempt.ended(error)


class _Attempt:
    """What the two kinds of attempts have in common."""

    def __init__(self, assignment: Assignment, on_start: OnStart | None) -> None:
        self._claim, self._job, notes = assignment
        self._notes = notes or (Notes(self._claim.metadata) if self._job.needs_context else None)
        self._on_start = on_start
        self._began = monotonic()
        self._run: RunContext | None = None

    def arguments(self) -> dict[str, Any]:
        """Those of the job."""
        try:
            payload = self._job.current_payload(json.loads(self._claim.payload), self._claim.version)
            if self._notes is not None:
                self._run = _context(self._claim, payload, self._notes)
            return self._job.arguments(payload, self._run)
        except PayloadError as error:
            raise Unreadable(str(error)) from None

    def question(self, arguments: Mapping[str, Any]) -> tuple[object, RunContext | None]:
        """The arguments of ``okay_to_run``: the payload as the job will get it, and the context of the run."""
        if self._job.parameters.takes_payload:
            return arguments["payload"], self._run
        return {name: value for name, value in arguments.items() if name != "run"}, self._run

    def start(self) -> None:
        """Tell that the attempt starts, once."""
        if self._on_start is not None:
            self._on_start(self._claim)
            self._on_start = None

    def refused(self) -> Refused:
        return Refused(self._claim, self._job.options.preflight.requeue_delay_seconds)

    def ended(self, end: Completed | BaseException) -> Ended:
        self.start()
        finished = monotonic()
        settlement = verdict(self._claim, self._job, end if self._notes is None else self._notes.close(end))
        settlement.started, settlement.finished = self._began, finished
        if self._notes is not None:
            settlement.progress, settlement.metadata = self._notes.said
        return Ended(self._claim, settlement)


def _context(claim: Claim, payload: Mapping[str, Any], notes: Notes) -> RunContext:
    return RunContext(
        id=claim.id,
        attempt=claim.attempt,
        queue=claim.queue,
        job=claim.job,
        payload=payload,
        scheduled_for=claim.run_at,
        tags=() if claim.tags is None else tuple(json.loads(claim.tags)),
        tenant=claim.tenant,
        user=claim.user,
        trace_id=claim.trace_id,
        fires_at=claim.fires_at,
        missed=claim.missed or 0,
        _notes=notes,
    )


def _said_yes(answer: object) -> bool:
    if not isinstance(answer, bool):
        raise TypeError(f"okay_to_run must answer True or False, got {shown(answer)}.")
    return answer
