"""One attempt: a claim goes in, a settlement comes out. The only place where jobs are called."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, NamedTuple

from django_jobqueue.engines.base import Claim, Settlement
from django_jobqueue.errors import PayloadError
from django_jobqueue.jobs import Completed, JobDefinition, Notes, RunContext
from django_jobqueue.worker.verdict import Unreadable, verdict


class Assignment(NamedTuple):
    """What an attempt needs."""

    claim: Claim
    job: JobDefinition
    notes: Notes | None = None
    """Where the job writes; needed if it takes ``run``."""


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


def run_attempt(claim: Claim, job: JobDefinition, notes: Notes | None = None) -> Ended:
    """Call *job* in this thread. Whatever it does, the answer is an ended attempt."""
    started = monotonic()
    end: Completed | BaseException
    try:
        end = Completed(job.function(**_arguments(claim, job, notes)))
    except BaseException as error:
        end = error
    return _ended(claim, job, notes, end, started)


async def run_async_attempt(claim: Claim, job: JobDefinition, notes: Notes | None = None) -> Ended:
    """``run_attempt`` for a coroutine function, on the running loop."""
    started = monotonic()
    end: Completed | BaseException
    try:
        end = Completed(await job.function(**_arguments(claim, job, notes)))
    except BaseException as error:
        end = error
    return _ended(claim, job, notes, end, started)


def _arguments(claim: Claim, job: JobDefinition, notes: Notes | None) -> dict[str, Any]:
    try:
        payload = job.current_payload(json.loads(claim.payload), claim.version)
        return job.schema.arguments(payload, None if notes is None else _context(claim, payload, notes))
    except PayloadError as error:
        raise Unreadable(str(error)) from None


def _context(claim: Claim, payload: Mapping[str, Any], notes: Notes) -> RunContext:
    return RunContext(
        id=claim.id,
        attempt=claim.attempt,
        queue=claim.queue,
        job=claim.job,
        payload=payload,
        scheduled_for=claim.run_at,
        _notes=notes,
    )


def _ended(
    claim: Claim, job: JobDefinition, notes: Notes | None, end: Completed | BaseException, started: float
) -> Ended:
    finished = monotonic()
    settlement = verdict(claim, job, end if notes is None else notes.close(end))
    settlement.started, settlement.finished = started, finished
    if notes is not None:
        settlement.progress, settlement.metadata = notes.said
    return Ended(claim, settlement)
