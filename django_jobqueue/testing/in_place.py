"""A worker in the thread and on the connection of its caller, for tests.

It claims, runs and settles as every worker does, but one run after the other, without a heartbeat, and without closing
a connection. Inside of a transaction, a ``TestCase`` above all, it lets each attempt end as if it were committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from time import monotonic
from typing import Any

from asgiref.sync import async_to_sync
from django.db import transaction
from django.db.models import F

from django_jobqueue.conf import external_queues, get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import Claim
from django_jobqueue.errors import JobQueueError
from django_jobqueue.jobs import JobDefinition, registry
from django_jobqueue.models import Run
from django_jobqueue.operations import at_once
from django_jobqueue.states import Outcome, State
from django_jobqueue.testing.committing import as_if_committed
from django_jobqueue.testing.worked import Worked
from django_jobqueue.worker.announcer import Announcer
from django_jobqueue.worker.assignment import Assignment
from django_jobqueue.worker.exchange import Exchange, Trade
from django_jobqueue.worker.leases import Leases
from django_jobqueue.worker.runner import Ended, Refused, run_async_attempt, run_attempt
from django_jobqueue.worker.unknown_jobs import UNKNOWN_JOB_DELAY_SECONDS


class InPlaceWorker:
    """Works runs of *queues*, up to *at_most* attempts. *adding* is what it does with the runs that its jobs add."""

    def __init__(
        self, name: str, queues: Sequence[str], *, at_most: int, adding: Callable[[Sequence[int]], None] | None
    ) -> None:
        self.worked: list[Worked] = []
        self._name = name
        self._at_most = at_most
        self._adding = adding
        self._announcer = Announcer(name)
        self._leases = Leases()
        self._exchange = Exchange(name, queues, self._leases)

    def work_due(self) -> None:
        """Work until nothing can be claimed."""
        more = True
        while more:
            trade = self._trade([], 1)
            for claim in trade.claims:
                self._work(claim)
            more = bool(trade.claims) or trade.more

    def work_run(self, run_id: int) -> None:
        """Work this run if it is due, and try again at once while it fails and may."""
        claim = self._claim_alone(run_id)
        while claim is not None:
            worked = self._work(claim)
            again = worked.outcome in (Outcome.RETRIED, Outcome.TIMED_OUT) and worked.state == State.PENDING
            claim = self._claim_alone(run_id, again=True) if again else None

    def _claim_alone(self, run_id: int, *, again: bool = False) -> Claim | None:
        """Claim this run and no other, if it is due, or if it is tried *again*; none of an external queue.

        Meanwhile it is alone in a namespace of its own: nothing stands before it, and its queue has no pause and no
        limit there.
        """
        config = get_config()
        runs = Run.objects.using(config.database).filter(pk=run_id).exclude(queue__in=external_queues())
        alone = f"alone:{run_id}"
        due_at = F("created_at") if again else F("run_at")
        with transaction.atomic(using=config.database):
            if not runs.update(namespace=alone, run_at=due_at):
                return None
            queue = config.queues[runs.values_list("queue", flat=True)[0]]
            claims = engine_for(config.database).claim(
                alone, queue.name, worker=self._name, limit=1, lease_seconds=queue.lease_seconds
            )
            runs.update(namespace=config.namespace)
        self._leases.add(claims, {queue.name: queue.lease_seconds}, monotonic())
        return claims[0] if claims else None

    def _work(self, claim: Claim) -> Worked:
        if len(self.worked) >= self._at_most:
            last = "\n".join(f"    {worked!r}" for worked in self.worked[-3:])
            raise AssertionError(
                f"More is due after {self._at_most} attempts, the last of which were:\n{last}\n"
                "Does a job add itself, or snooze without a delay? If not, ask for more with at_most."
            )
        token = at_once.working.set(self._adding)
        try:
            worked = self._attempt(claim)
        finally:
            at_once.working.reset(token)
        self.worked.append(worked)
        if worked.exception is not None and not isinstance(worked.exception, Exception):
            raise worked.exception  # no failure of a job: Ctrl-C, sys.exit(), pytest.fail()
        return worked

    def _attempt(self, claim: Claim) -> Worked:
        try:
            job = _definition(claim)
        except JobQueueError as error:  # as a worker does with what its release does not know
            self._announcer.cancelled(
                self._exchange.release([claim], UNKNOWN_JOB_DELAY_SECONDS, unknown=True).cancelled
            )
            return _told(claim, Outcome.RELEASED, State.PENDING, error=str(error), exception=error)
        raised: list[BaseException] = []
        ended = self._ended(Assignment(claim, _watched(job, raised.append)))
        if isinstance(ended, Refused):
            self._announcer.cancelled(self._exchange.release([claim], ended.delay_seconds).cancelled)
            return _told(claim, Outcome.RELEASED, State.PENDING)
        settled = self._trade([ended], 0).settled
        settlement = ended.settlement
        return _told(
            claim,
            settlement.outcome,
            settled[0][1] if settled else settlement.state,
            reason=settlement.reason,
            error=settlement.error,
            exception=raised[0] if raised else None,
        )

    def _ended(self, assignment: Assignment) -> Ended | Refused:
        """Make the attempt. No receiver is called on its event loop: it is told of the start before, or if need be after."""
        may_be_refused = assignment.job.okay_to_run is not None
        if not may_be_refused:
            self._tell_of_start(assignment.claim)
        with as_if_committed():
            if assignment.job.is_async:
                ended = async_to_sync(_in_own_task)(run_async_attempt(assignment))
            else:
                ended = run_attempt(assignment)
        if may_be_refused and isinstance(ended, Ended):
            self._tell_of_start(assignment.claim)
        return ended

    def _tell_of_start(self, claim: Claim) -> None:
        with as_if_committed():
            self._announcer.attempt_started(claim)

    def _trade(self, ended: Sequence[Ended], wanted: int) -> Trade:
        with as_if_committed():
            trade = self._exchange.trade(ended, wanted)
        with as_if_committed():
            self._announcer.attempts_settled(trade.settled)
        return trade


def _definition(claim: Claim) -> JobDefinition:
    job = registry.get(claim.queue, claim.job)
    if claim.version > job.options.version:
        raise JobQueueError(
            f"The run is of version {claim.version} of the job, and this code knows {job.options.version}."
        )
    return job


def _watched(job: JobDefinition, tell: Callable[[BaseException], None]) -> JobDefinition:
    """The same job, which tells what it raises."""

    def function(**arguments: Any) -> object:
        try:
            return job.function(**arguments)
        except BaseException as error:
            tell(error)
            raise

    async def async_function(**arguments: Any) -> object:
        try:
            return await job.function(**arguments)
        except BaseException as error:
            tell(error)
            raise

    return replace(job, function=async_function if job.is_async else function)


async def _in_own_task(attempt: Coroutine[object, object, Ended | Refused]) -> Ended | Refused:
    """Await *attempt* in a task of its own: a job that cancels its task, or all tasks, must not cancel what follows."""
    ended: list[Ended | Refused] = []

    async def keep() -> None:
        ended.append(await attempt)

    task = asyncio.create_task(keep())
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.cancel()
    return ended[0]


def _told(claim: Claim, outcome: Outcome, state: State, **more: Any) -> Worked:
    if state == State.CANCELLED:  # because somebody asked for that meanwhile
        outcome = Outcome.CANCELLED
    return Worked(
        run_id=claim.id, queue=claim.queue, job=claim.job, attempt=claim.attempt, outcome=outcome, state=state, **more
    )
