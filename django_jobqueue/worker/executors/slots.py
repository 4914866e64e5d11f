"""The slots of a worker, and who runs what is in them."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from functools import partial
from time import monotonic

from django_jobqueue.engines.base import Claim, Ref
from django_jobqueue.worker.assignment import Assignment
from django_jobqueue.worker.executors.alarms import Alarm, Alarms
from django_jobqueue.worker.executors.event_loop import AsyncioExecutor
from django_jobqueue.worker.executors.executor import Executor, OnEnded
from django_jobqueue.worker.executors.processes import ProcessExecutor, put_off
from django_jobqueue.worker.executors.threads import ThreadExecutor
from django_jobqueue.worker.runner import Ended, OnStart, Refused, cut_off

logger = logging.getLogger(__name__)


class Executors:
    """All executors of a worker, which share its slots: at most *slots* attempts run at once.

    A claim beyond that waits here for a slot. *on_start* and *on_ended* are called in the thread of the attempt.

    An attempt that goes on after its hard timeout is told to have ended, and what it comes to is dropped. Its slot is
    **leaked**: it stays taken until the job returns, if it ever does.
    """

    def __init__(self, slots: int, on_start: OnStart, on_ended: OnEnded) -> None:
        self._slots = self._free = slots
        self._waiting: deque[Assignment] = deque()
        self._lock = threading.Lock()
        self._on_ended = on_ended
        self._threads = ThreadExecutor(on_start, self._ended, partial(self._hand_over, is_async=False))
        self._asyncio = AsyncioExecutor(on_start, self._ended, partial(self._hand_over, is_async=True))
        self._processes = ProcessExecutor(on_start, self._ended, self._start_in_place)
        self._executors: tuple[Executor, ...] = (self._threads, self._asyncio, self._processes)
        self._alarms = Alarms()
        self._watched: dict[Ref, Alarm] = {}
        """The attempts that have a hard timeout, and no process that could be killed."""
        self._leaked: set[Ref] = set()

    @property
    def leaked(self) -> int:
        """How many slots are taken by attempts that were cut off."""
        return len(self._leaked)

    def submit(self, assignments: Sequence[Assignment]) -> None:
        """Start each attempt as soon as a slot is free."""
        with self._lock:
            starting = assignments[: self._free]
            self._free -= len(starting)
            self._waiting.extend(assignments[len(starting) :])
        for assignment in starting:
            self._start(assignment)

    def take_back(self) -> list[Claim]:
        """The claims that still wait for a slot; they will not be started."""
        with self._lock:
            claims = [assignment.claim for assignment in self._waiting]
            self._waiting.clear()
        return claims

    def interrupt(self, ref: Ref, why: str) -> None:
        """End an attempt as soon as its executor can; at once, if it still waits for a slot. Callable from any thread."""
        if self._refuse_waiting(ref):
            return
        for executor in self._executors:
            executor.interrupt(ref, why)

    def kill_attempt(self, ref: Ref) -> None:
        """Kill the process of an attempt that was asked to end, if it has one of its own. Callable from any thread."""
        self._processes.kill_attempt(ref)

    def prepare(self, number: int) -> None:
        """Make ready for so many runs that have crashed elsewhere. Callable from any thread."""
        self._processes.prepare(number)

    def kill(self) -> None:
        """Kill what can be killed of the attempts that still run: their runs are about to be handed back."""
        self._processes.kill()

    def look(self) -> None:
        """Tell of a job that holds up others. To be called about every second."""
        self._asyncio.look()

    def close(self, seconds: float) -> None:
        """End the threads, for which they get so long; where attempts still run, all end with the process."""
        with self._lock:
            idle = self._free == self._slots
        self._alarms.close()
        until = monotonic() + (seconds if idle else 0.0)
        for executor in self._executors:
            executor.close(max(0.0, until - monotonic()))

    def _start(self, assignment: Assignment) -> None:
        if _in_process(assignment):
            self._start_in(self._processes, assignment)
        else:
            self._start_in_place(assignment)

    def _start_in_place(self, assignment: Assignment) -> None:
        self._watch(assignment)
        self._start_in(self._asyncio if assignment.job.is_async else self._threads, assignment)

    def _start_in(self, executor: Executor, assignment: Assignment) -> None:
        try:
            executor.start(assignment)
        except RuntimeError as error:
            with self._lock:
                self._was_cut_off(assignment.claim.ref)
                self._free += 1  # for the next claim: what waits goes on in threads that there are, or is handed back
            self._on_ended(put_off(assignment.claim, error))

    def _watch(self, assignment: Assignment) -> None:
        """Cut the attempt that starts off at its hard timeout."""
        if (seconds := assignment.hard_timeout_seconds) is not None:
            with self._lock:
                call = partial(self._cut_off, assignment)
                self._watched[assignment.claim.ref] = self._alarms.after(seconds, call)

    def _hand_over(self, ended: Ended | Refused, *, is_async: bool) -> Assignment | None:
        """Give the slot of an attempt that has *ended* in place to the one that waits, if that runs in the same way."""
        with self._lock:
            following = self._waiting[0] if self._waiting else None
            if following is None or _in_process(following) or following.job.is_async != is_async:
                return None
            self._waiting.popleft()
            late = bool(self._watched or self._leaked) and self._was_cut_off(ended.claim.ref)
        self._watch(following)
        if not late:
            self._on_ended(ended)
        return following

    def _refuse_waiting(self, ref: Ref) -> bool:
        """Give a claim back that waits for a slot; answer whether it did."""
        with self._lock:
            found = next((assignment for assignment in self._waiting if assignment.claim.ref == ref), None)
            if found is not None:
                self._waiting.remove(found)
        if found is not None:
            self._on_ended(Refused(found.claim))
        return found is not None

    def _cut_off(self, assignment: Assignment) -> None:
        claim = assignment.claim
        with self._lock:
            if self._watched.pop(claim.ref, None) is None:  # it has ended at the last moment
                return
            self._leaked.add(claim.ref)
        logger.error(
            "Run %d (%s.%s) goes on after its hard timeout, and cannot be stopped: attempt %d is closed, its slot leaked.",
            *(claim.id, claim.queue, claim.job, claim.attempt),
        )
        self._on_ended(cut_off(assignment))

    def _ended(self, ended: Ended | Refused) -> None:
        with self._lock:
            late = bool(self._watched or self._leaked) and self._was_cut_off(ended.claim.ref)
            following = self._waiting.popleft() if self._waiting else None
            if following is None:
                self._free += 1
        if following is not None:
            self._start(following)
        if not late:
            self._on_ended(ended)

    def _was_cut_off(self, ref: Ref) -> bool:
        """Forget an attempt that has ended; answer whether it was told to have ended before."""
        if (alarm := self._watched.pop(ref, None)) is not None:
            self._alarms.call_off(alarm)
        if ref not in self._leaked:
            return False
        self._leaked.remove(ref)
        logger.warning("Result dropped: attempt %d of run %d was cut off, and has ended only now.", ref.attempt, ref.id)
        return True


def _in_process(assignment: Assignment) -> bool:
    """Whether it runs in a process of its own: also after a crash, for this run may have taken its process with it."""
    return assignment.job.options.executor == "process" or assignment.claim.crashes > 0
