"""One attempt: a claim goes in, a settlement comes out. The only place where jobs are called."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any

from django_jobqueue.conf import get_config
from django_jobqueue.engines.base import Claim, Counter, Settlement
from django_jobqueue.errors import PayloadError
from django_jobqueue.jobs import Cancel, Fail, JobDefinition, Later, Retry, RunContext, Snooze
from django_jobqueue.payloads import encode_json
from django_jobqueue.retry import RetryPolicy
from django_jobqueue.states import Delivery, Outcome, Reason, State
from django_jobqueue.worker.failure import error_text, traceback_text


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


def run_attempt(claim: Claim, job: JobDefinition) -> Ended:
    """Call *job* in this thread. Whatever it does, the answer is an ended attempt."""
    started = monotonic()
    try:
        settlement = _completed(claim, job.function(**_arguments(claim, job)))
    except BaseException as error:
        settlement = _ended_by(error, claim, job)
    return _ended(claim, settlement, started)


async def run_async_attempt(claim: Claim, job: JobDefinition) -> Ended:
    """``run_attempt`` for a coroutine function, on the running loop."""
    started = monotonic()
    try:
        settlement = _completed(claim, await job.function(**_arguments(claim, job)))
    except BaseException as error:
        settlement = _ended_by(error, claim, job)
    return _ended(claim, settlement, started)


def _ended(claim: Claim, settlement: Settlement, started: float) -> Ended:
    settlement.started, settlement.finished = started, monotonic()
    return Ended(claim, settlement)


class _Unreadable(Exception):
    """The stored payload does not fit the job as it is now; the error of the same kind may also come out of a job."""


def _arguments(claim: Claim, job: JobDefinition) -> dict[str, Any]:
    payload: Mapping[str, Any] = json.loads(claim.payload)
    try:
        job.parameters.check(payload)
    except PayloadError as error:
        raise _Unreadable(str(error)) from None
    return job.parameters.bind(payload, _context(claim, payload) if job.parameters.takes_run else None)


def _context(claim: Claim, payload: Mapping[str, Any]) -> RunContext:
    return RunContext(
        id=claim.id,
        attempt=claim.attempt,
        queue=claim.queue,
        job=claim.job,
        payload=payload,
        metadata=json.loads(claim.metadata) if claim.metadata else {},
        scheduled_for=claim.run_at,
    )


def _completed(claim: Claim, value: object) -> Settlement:
    try:
        result = None if value is None else encode_json(value, root="result", max_bytes=get_config().payload_max_bytes)
    except PayloadError as error:
        return _failed(claim, Reason.INVALID_RESULT, error=str(error))
    return Settlement(
        *claim.ref, outcome=Outcome.COMPLETED, state=State.COMPLETED, reason=Reason.RETURNED, result=result
    )


def _ended_by(error: BaseException, claim: Claim, job: JobDefinition) -> Settlement:
    match error:
        case Snooze():
            return _again(claim, Outcome.SNOOZED, "snoozes", error)
        case Cancel():
            return Settlement(
                *claim.ref,
                outcome=Outcome.CANCELLED,
                state=State.CANCELLED,
                reason=Reason.CANCELLED,
                error=error_text(error),
            )
        case Fail():
            return _failed(claim, Reason.JOB_FAILED, error=error_text(error), traceback=traceback_text(error))
        case _Unreadable():
            return _failed(claim, Reason.INVALID_PAYLOAD, error=str(error))
        case _:
            return _retried(error, claim, job)


def _retried(error: BaseException, claim: Claim, job: JobDefinition) -> Settlement:
    delay = _policy(claim, job).next_delay(claim.failures + 1, random)
    if delay is None:
        return Settlement(
            *claim.ref,
            outcome=Outcome.DEAD_LETTERED,
            state=State.DEAD_LETTERED,
            reason=Reason.MAX_ATTEMPTS,
            counter="failures",
            error=error_text(error),
            traceback=traceback_text(error),
        )
    wish = error if isinstance(error, Retry) else Retry()
    if wish.at is None and wish.delay_seconds is None:
        wish = Retry(delay_seconds=delay)
    return _again(claim, Outcome.RETRIED, "failures", wish, error=error_text(error), traceback=traceback_text(error))


def _policy(claim: Claim, job: JobDefinition) -> RetryPolicy:
    """A run that may be started once only is never tried again."""
    max_attempts = claim.max_attempts or job.options.max_attempts
    if claim.delivery == Delivery.AT_MOST_ONCE:
        max_attempts = 1
    return RetryPolicy(max_attempts=max_attempts, backoff=job.options.backoff)


def _again(
    claim: Claim,
    outcome: Outcome,
    counter: Counter,
    wish: Later,
    *,
    error: str | None = None,
    traceback: str | None = None,
) -> Settlement:
    return Settlement(
        *claim.ref,
        outcome=outcome,
        state=State.PENDING,
        counter=counter,
        run_at=wish.at,
        delay_seconds=wish.delay_seconds or 0.0,
        error=error,
        traceback=traceback,
    )


def _failed(claim: Claim, reason: Reason, *, error: str, traceback: str | None = None) -> Settlement:
    return Settlement(
        *claim.ref,
        outcome=Outcome.FAILED,
        state=State.FAILED,
        reason=reason,
        counter="failures",
        error=error,
        traceback=traceback,
    )
