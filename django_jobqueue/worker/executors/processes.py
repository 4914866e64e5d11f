"""Jobs in processes of their own: whatever one of them does to its process, it does to nobody else."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty

from django_jobqueue.conf import get_config
from django_jobqueue.engines.base import Claim, Ref
from django_jobqueue.worker.assignment import Assignment
from django_jobqueue.worker.executors.child_process import ChildProcess, NotStarted, UnknownThere
from django_jobqueue.worker.executors.executor import OnEnded
from django_jobqueue.worker.executors.threads import Attempts, Threads
from django_jobqueue.worker.runner import Ended, OnStart, Refused

logger = logging.getLogger(__name__)

NOT_STARTED_DELAY_SECONDS = 5.0
"""How long a run is put off for which there is nothing to run it in."""
UNKNOWN_DELAY_SECONDS = 30.0
IDLE_SECONDS = 300.0
"""A child that has had nothing to do for so long gives its memory back; a new one takes a second to start."""


class ProcessExecutor(Threads):
    """Threads, each with a child that runs one attempt at a time, and is kept for the next one.

    *In_place* takes a job that the child does not know, if it need not run there.
    """

    def __init__(self, on_start: OnStart, on_ended: OnEnded, in_place: Callable[[Assignment], None]) -> None:
        super().__init__(on_start, on_ended)
        self._in_place = in_place
        self._config = get_config().worker
        self._children: dict[Ref, ChildProcess] = {}
        """The busy ones."""
        self._killed = False

    def interrupt(self, ref: Ref, why: str) -> None:
        if (child := self._children.get(ref)) is not None:
            child.interrupt(ref, why)

    def kill_attempt(self, ref: Ref) -> None:
        if (child := self._children.get(ref)) is not None:
            child.kill_attempt(ref)

    def prepare(self, number: int) -> None:
        """Have so many children that are idle, or about to be: attempts are likely to come, and need not wait for their start."""
        with self._lock, suppress(RuntimeError):  # no thread can be started: the first attempt tries again
            while len(self._idle) < number and not self._killed:
                self._idle.insert(0, self._add_thread())  # those whose children have started come before it

    def kill(self) -> None:
        """Kill all children that still run an attempt, and tell nothing of it: their runs are handed back."""
        with self._lock:
            self._killed = True
            busy = list(self._children.values())
        for child in busy:
            child.kill()

    def _work(self, attempts: Attempts) -> None:
        child: ChildProcess | None = None
        with suppress(NotStarted):  # the first attempt tries again
            child = ChildProcess()
        while (assignment := self._next(attempts)) is not None:
            child = self._attempt_in(child, assignment)
        if child is not None:
            child.leave()

    def _next(self, attempts: Attempts) -> Assignment | None:
        """The next attempt for this thread; None, where it is to end, and its child with it."""
        while True:
            try:
                return attempts.get(timeout=IDLE_SECONDS)
            except Empty:
                if self._is_spare():
                    return None

    def _is_spare(self) -> bool:
        """Whether no attempt is on its way to this thread; if so, none will be any more."""
        thread = threading.current_thread()
        with self._lock:
            if thread not in self._idle:
                return False
            self._idle.remove(thread)
            del self._threads[thread]
        return True

    def _attempt_in(self, child: ChildProcess | None, assignment: Assignment) -> ChildProcess | None:
        """Run an attempt in *child*, or else in a new one; return it, if it is fit for another one."""
        if child is not None and not child.is_alive():
            child.leave()
            child = None
        try:
            child = child or ChildProcess()
        except NotStarted as error:
            self._done(put_off(assignment.claim, error), is_ready=False)
            return None
        if self._attempt(child, assignment):
            return child
        child.leave()
        return None

    def _attempt(self, child: ChildProcess, assignment: Assignment) -> bool:
        """Run an attempt, and answer whether *child* is fit for another one."""
        claim = assignment.claim
        with self._lock:
            self._children[claim.ref] = child
            killed = self._killed
        try:
            if killed:
                return False
            ended = self._ended(child, assignment)
        except UnknownThere:
            self._elsewhere(assignment)
            return self._is_fit(child)
        finally:
            with self._lock:
                del self._children[claim.ref]
        is_fit = self._is_fit(child)
        if not self._killed:
            self._done(ended, is_ready=is_fit)
        return is_fit

    def _ended(self, child: ChildProcess, assignment: Assignment) -> Ended | Refused:
        """What an attempt comes to, as soon as *child* is ready for it. Raises UnknownThere."""
        try:
            child.wait_until_ready()
            self._warn_if_large(child)
            return child.attempt(assignment, self._on_start)
        except NotStarted as error:
            return put_off(assignment.claim, error)

    def _elsewhere(self, assignment: Assignment) -> None:
        claim = assignment.claim
        if assignment.job.options.executor == "process":
            logger.warning("%s.%s is not known in a child process, and left to others.", claim.queue, claim.job)
            self._done(Refused(claim, UNKNOWN_DELAY_SECONDS))
        else:
            logger.warning("%s.%s is not known in a child process, and runs here.", claim.queue, claim.job)
            self._rest()
            self._in_place(assignment)

    def _is_fit(self, child: ChildProcess) -> bool:
        """Whether it lives, and is not worn."""
        most = self._config.recycle_after_megabytes
        is_worn = child.runs >= self._config.recycle_after_runs or (most is not None and child.megabytes > most)
        return child.is_alive() and not is_worn

    def _warn_if_large(self, child: ChildProcess) -> None:
        most = self._config.recycle_after_megabytes
        if most is not None and child.runs == 0 and child.megabytes > most:
            logger.warning(
                "A child process takes %.0f MB before its first run, and recycle_after_megabytes is %d: each ends after one run.",
                *(child.megabytes, most),
            )


def put_off(claim: Claim, error: Exception) -> Refused:
    """Say why a run could not start, for which there is nothing to run it in."""
    logger.error("Run %d (%s.%s) is put off: %s", claim.id, claim.queue, claim.job, error)
    return Refused(claim, NOT_STARTED_DELAY_SECONDS)
