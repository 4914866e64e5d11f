"""The verdict: from what an attempt came to, to what becomes of its run."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from typing import TypedDict

from django_jobqueue.conf import get_config
from django_jobqueue.engines.base import Claim, Counter, Settlement
from django_jobqueue.errors import AttemptTimedOut, PayloadError
from django_jobqueue.jobs import Cancel, Completed, Decision, Deleted, Fail, Failed, JobDefinition, Later, Retry, Snooze
from django_jobqueue.payloads import encode_json
from django_jobqueue.retry import RetryPolicy
from django_jobqueue.states import Delivery, Outcome, Reason, State
from django_jobqueue.worker.failure import Hide, error_text, one_line, traceback_text

logger = logging.getLogger(__name__)


class Unreadable(Exception):
    """The stored payload does not fit the job as it is now; the error of the same kind may also come out of a job."""


def verdict(
    claim: Claim, job: JobDefinition, end: Decision | BaseException, exceeded: float | None = None
) -> Settlement:
    """What becomes of the run of *claim*, whose attempt came to *end*: what it decided, or what it raised.

    *Exceeded* is its timeout, in seconds, where the attempt took longer. What fails then has timed out, whatever it raised.
    """
    try:
        return _verdict(claim, job, end, exceeded)
    except BaseException as error:  # a result, or a wish, that breaks while it is read
        return _verdict(claim, job, error, exceeded)


def timed_out(claim: Claim, job: JobDefinition, error: str | BaseException) -> Settlement:
    """What becomes of a run whose attempt took too long."""
    return _retried(claim, job, error, Outcome.TIMED_OUT)


def handed_back(claim: Claim, why: str, *, delay_seconds: float | None = None) -> Settlement:
    """What becomes of a run whose attempt has come to nothing, through no fault of its job.

    One that may be started again is due in *delay_seconds*; where none are given, it goes back to its place in the line.
    One that may not is lost.
    """
    settlement = Settlement(
        claim.ref,
        outcome=Outcome.RELEASED,
        state=State.PENDING,
        counter="releases",
        run_at=claim.run_at if delay_seconds is None else None,
        delay_seconds=delay_seconds or 0.0,
        error=why,
    )
    if claim.delivery == Delivery.AT_MOST_ONCE:
        settlement.state, settlement.reason = State.DEAD_LETTERED, Reason.LOST
    return settlement


def _verdict(claim: Claim, job: JobDefinition, end: Decision | BaseException, exceeded: float | None) -> Settlement:
    match end:
        case Completed(result):
            return _completed(claim, job, result)
        case Deleted():
            return _completed(claim, job, None, delete=True)
        case Snooze():
            return _again(claim, Outcome.SNOOZED, "snoozes", end)
        case Cancel():
            return _cancelled(claim, job, end)
        case Fail():
            return _failed(claim, job, Reason.JOB_FAILED, end)
        case Failed(error):
            return _failed(claim, job, Reason.JOB_FAILED, error)
        case Unreadable():
            return _failed(claim, job, Reason.INVALID_PAYLOAD, str(end))
        case Retry():
            return _retried(claim, job, end)
        case _:
            return _raised(claim, job, end, exceeded)


def _raised(claim: Claim, job: JobDefinition, error: BaseException, exceeded: float | None) -> Settlement:
    """What becomes of a run whose job raised what was not meant to steer it."""
    if exceeded is not None:
        return timed_out(claim, job, _telling(error, exceeded))
    if isinstance(error, asyncio.CancelledError) or _allow_retry(job, error):
        return _retried(claim, job, error)
    return _failed(claim, job, Reason.NOT_RETRIED, error)


def _allow_retry(job: JobDefinition, error: BaseException) -> bool:
    try:
        return job.error_rules.allow_retry(error)
    except BaseException:  # a class of the project's, which may decide itself what is one of it
        logger.exception("Whether %s.%s may be tried again, its rules cannot tell.", job.queue, job.name)
        return True


def _telling(error: BaseException, exceeded: float) -> BaseException:
    """*Error*, or what says more in its place: a cancelled task does not tell why it was cancelled."""
    if isinstance(error, asyncio.CancelledError):
        return AttemptTimedOut(exceeded).with_traceback(error.__traceback__)
    return error


def _completed(claim: Claim, job: JobDefinition, value: object, *, delete: bool = False) -> Settlement:
    try:
        result = None if value is None else encode_json(value, root="result", max_bytes=get_config().payload_max_bytes)
    except PayloadError as error:
        return _failed(claim, job, Reason.INVALID_RESULT, str(error))
    return Settlement(
        claim.ref,
        outcome=Outcome.COMPLETED,
        state=State.COMPLETED,
        reason=Reason.RETURNED,
        result=result,
        delete=delete,
    )


def _cancelled(claim: Claim, job: JobDefinition, error: Cancel) -> Settlement:
    return Settlement(
        claim.ref,
        outcome=Outcome.CANCELLED,
        state=State.CANCELLED,
        reason=Reason.CANCELLED,
        error=error_text(error, _scrubber(claim, job)),
    )


def _failed(claim: Claim, job: JobDefinition, reason: Reason, error: str | BaseException) -> Settlement:
    return Settlement(
        claim.ref,
        outcome=Outcome.FAILED,
        state=State.FAILED,
        reason=reason,
        counter="failures",
        **_told(claim, job, error),
    )


def _retried(
    claim: Claim, job: JobDefinition, error: str | BaseException, outcome: Outcome | None = None
) -> Settlement:
    """Try again, or give up. *Outcome* is what the attempt came to, where that is not told by which of the two."""
    delay = _policy(claim, job).next_delay(claim.failures + 1, random)
    if delay is None:
        return Settlement(
            claim.ref,
            outcome=outcome or Outcome.DEAD_LETTERED,
            state=State.DEAD_LETTERED,
            reason=Reason.MAX_ATTEMPTS,
            counter="failures",
            **_told(claim, job, error),
        )
    wish = error if isinstance(error, Retry) else Retry()
    if wish.at is None and wish.delay_seconds is None:
        wish = Retry(delay_seconds=delay)
    return _again(claim, outcome or Outcome.RETRIED, "failures", wish, **_told(claim, job, error))


class Told(TypedDict):
    """What is kept of an error."""

    error: str
    traceback: str | None


def _told(claim: Claim, job: JobDefinition, error: str | BaseException) -> Told:
    hide = _scrubber(claim, job)
    if isinstance(error, str):
        return {"error": one_line(error, hide), "traceback": None}
    return {"error": error_text(error, hide), "traceback": traceback_text(error, hide)}


def _scrubber(claim: Claim, job: JobDefinition) -> Hide:
    return job.scrubber(json.loads(claim.payload), claim.version)


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
        claim.ref,
        outcome=outcome,
        state=State.PENDING,
        counter=counter,
        run_at=wish.at,
        delay_seconds=wish.delay_seconds or 0.0,
        error=error,
        traceback=traceback,
    )
