"""One attempt: a claim goes in, a settlement comes out. The only place where jobs are called."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import Any, NamedTuple, NoReturn

from django.utils import timezone

from django_jobqueue.engines.base import Claim, Ref, Settlement
from django_jobqueue.errors import PayloadError, shown
from django_jobqueue.jobs import Completed, Notes, RunContext
from django_jobqueue.states import State
from django_jobqueue.worker.assignment import Assignment
from django_jobqueue.worker.atomic import NotBegun, settled_together, tell_of_commit, tell_of_writing
from django_jobqueue.worker.verdict import Unreadable, timed_out, verdict

logger = logging.getLogger(__name__)

NOT_BEGUN_DELAY_SECONDS = 1.0
"""For which a run is put off whose transaction the database does not let begin."""


class Ended(NamedTuple):
    """An attempt that has ended, and is to be settled."""

    claim: Claim
    settlement: Settlement
    state: State | None = None
    """Of the run, where the attempt is settled already: in the transaction of its job."""
    sent: Settlement | None = None
    """How its job has settled it, if the COMMIT came through, of which nobody has heard."""

    @property
    def ref(self) -> Ref:
        return self.settlement.ref

    @property
    def seconds(self) -> float:
        """How long the job took."""
        started, finished = self.settlement.started, self.settlement.finished
        return finished - started if finished is not None and started is not None else 0.0


class Refused(NamedTuple):
    """A run that is to be put back, because it could not start.

    Its ``okay_to_run`` would not let it, or it was asked to end before, or its lease was over, or its transaction could not
    begin.
    """

    claim: Claim
    delay_seconds: float | None = None
    """None: it has its old place in the line."""


OnStart = Callable[[Claim], None]


def run_attempt(
    assignment: Assignment,
    on_start: OnStart | None = None,
    around: AbstractContextManager[object] | None = None,
    on_commit: Callable[[], None] | None = None,
) -> Ended | Refused:
    """Call the job in this thread, if it may run. Whatever it does, this answers.

    *on_start* is called when the attempt starts, which one that is refused never does; *on_commit* when one has settled its
    run itself, where there is no lease that could be told. *Around* the call of the job, and
    only there, somebody may interrupt it by an exception.
    """
    if not assignment.may_begin:
        return Refused(assignment.claim)
    attempt = _Attempt(assignment, on_start)
    job = assignment.job
    try:
        arguments = attempt.arguments()
        if job.okay_to_run is not None and not _said_yes(job.okay_to_run(*attempt.question(arguments))):
            return attempt.refused()
        if job.options.atomic:
            tell = on_commit or partial(tell_of_commit, assignment)
            return _atomic_attempt(assignment, attempt, arguments, around or nullcontext(), tell)
        attempt.start()
        if around is None:
            return attempt.ended(Completed(job.function(**arguments)))
        with around:
            result = job.function(**arguments)
        return attempt.ended(Completed(result))
    except NotBegun as error:
        return _put_off(assignment.claim, error)
    except BaseException as error:
        return attempt.ended(error)


async def run_async_attempt(assignment: Assignment, on_start: OnStart | None = None) -> Ended | Refused:
    """``run_attempt`` for a coroutine function, on the running loop."""
    if not assignment.may_begin:
        return Refused(assignment.claim)
    attempt = _Attempt(assignment, on_start)
    job = assignment.job
    try:
        arguments = attempt.arguments()
        if job.okay_to_run is not None:
            answer = job.okay_to_run(*attempt.question(arguments))
            if not _said_yes(await answer if inspect.isawaitable(answer) else answer):
                return attempt.refused()
        attempt.start()
        with nullcontext() if attempt.ends_at is None else _cancelled_at(attempt.ends_at):
            result = await job.function(**arguments)
        return attempt.ended(Completed(result))
    except BaseException as error:
        return attempt.ended(error)


def cut_off(assignment: Assignment) -> Ended:
    """The end of an attempt that its hard timeout ends: what its job still says or does comes too late."""
    claim, job, notes = assignment.claim, assignment.job, assignment.notes
    error = f"The attempt was cut off: it took longer than its hard timeout of {assignment.hard_timeout_seconds:g} s."
    settlement = timed_out(claim, job, error)
    settlement.finished = monotonic()
    settlement.started = settlement.finished - (assignment.hard_timeout_seconds or 0.0)
    if notes is not None:
        notes.cancel_requested = True
        notes.close(Completed(None))
        settlement.progress, settlement.metadata = notes.said
    return Ended(claim, settlement)


def _atomic_attempt(
    assignment: Assignment,
    attempt: _Attempt,
    arguments: Mapping[str, Any],
    around: AbstractContextManager[object],
    on_commit: Callable[[], None],
) -> Ended:
    """Call the job in a transaction that settles the run, too. Raises NotBegun."""

    def call() -> Completed | BaseException:
        tell_of_writing(assignment, True)
        attempt.start()
        try:
            with around:
                return Completed(assignment.job.function(**arguments))
        except BaseException as error:
            return error

    try:
        fate = settled_together(assignment.claim, call, lambda end: attempt.ended(end).settlement, on_commit)
    finally:
        tell_of_writing(assignment, False)
    return Ended(assignment.claim, *fate)


def _put_off(claim: Claim, error: NotBegun) -> Refused:
    logger.warning("Run %d (%s.%s) is put off: %s", claim.id, claim.queue, claim.job, error)
    return Refused(claim, NOT_BEGUN_DELAY_SECONDS)


@contextmanager
def _cancelled_at(ends_at: float) -> Iterator[None]:
    """Cancel the running task, if the body has not ended by then."""
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("A coroutine job runs in a task.")
    timer = task.get_loop().call_later(max(0.0, ends_at - monotonic()), task.cancel)
    try:
        yield
    finally:
        timer.cancel()


class _Attempt:
    """What the two kinds of attempts have in common."""

    def __init__(self, assignment: Assignment, on_start: OnStart | None) -> None:
        self._claim, self._job = assignment.claim, assignment.job
        self._timeout_seconds = assignment.timeout_seconds
        self._notes = assignment.notes or (Notes(self._claim.metadata) if self._job.needs_context else None)
        self._on_start = on_start
        self._process_id = os.getpid()
        self._began = monotonic()
        self.ends_at = None if self._timeout_seconds is None else self._began + self._timeout_seconds
        """When the time of the attempt is over, by ``time.monotonic()``."""
        self._run: RunContext | None = None

    def arguments(self) -> dict[str, Any]:
        """Those of the job."""
        try:
            payload = self._job.current_payload(json.loads(self._claim.payload), self._claim.version)
            if self._notes is not None:
                self._run = _context(self._claim, payload, self._notes, self.ends_at)
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
        if os.getpid() != self._process_id:
            _leave_fork(end)
        self.start()
        finished = monotonic()
        decided = end if self._notes is None else self._notes.close(end)
        exceeded = None if self.ends_at is None or finished < self.ends_at else self._timeout_seconds
        settlement = verdict(self._claim, self._job, decided, exceeded)
        settlement.started, settlement.finished = self._began, finished
        if self._notes is not None:
            settlement.progress, settlement.metadata = self._notes.said
        return Ended(self._claim, settlement)


def _leave_fork(end: Completed | BaseException) -> NoReturn:
    """End this process, which the job has forked: only the one that it was started in answers for the run."""
    match end:
        case Completed() | SystemExit(code=None):
            os._exit(0)
        case SystemExit(code=int(code)):
            os._exit(code)
        case _:
            logger.error("A process that a job has forked has failed.", exc_info=end)
            os._exit(1)


def _context(claim: Claim, payload: Mapping[str, Any], notes: Notes, ends_at: float | None) -> RunContext:
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
        deadline=None if ends_at is None else timezone.now() + timedelta(seconds=ends_at - monotonic()),
        _ends_at=ends_at,
        _notes=notes,
    )


def _said_yes(answer: object) -> bool:
    if not isinstance(answer, bool):
        raise TypeError(f"okay_to_run must answer True or False, got {shown(answer)}.")
    return answer
