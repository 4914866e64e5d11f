"""A child as its worker sees it: a process that runs one attempt at a time, and may end in the middle of it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from math import inf
from time import monotonic

from django_jobqueue.engines.base import Claim, Ref
from django_jobqueue.jobs import Cancel
from django_jobqueue.states import State
from django_jobqueue.worker.assignment import Assignment
from django_jobqueue.worker.atomic import tell_of_commit, tell_of_writing
from django_jobqueue.worker.crash import crashed
from django_jobqueue.worker.logged_lines import log_format
from django_jobqueue.worker.runner import Ended, OnStart, Refused, cut_off
from django_jobqueue.worker.verdict import verdict
from django_jobqueue.worker.wire import Message, Wire, plain, settlement_of

PROGRAM = """
import gc, sys
gc.disable()
sys.path[:] = sys.argv[3:]
import django
django.setup()
from django_jobqueue.worker.child import main
main()
"""
"""It finds what its worker finds, from wherever that was started. Models can be imported only after the setup.

Until all is loaded, to look for garbage would find none, and take an eighth of the start.
"""

START_SECONDS = 120.0
"""How long Django may take to set itself up in a child."""
LOOK_SECONDS = 1.0
"""How soon the end of a child is seen whose wire is held open, by a process that the job has started."""
SEND_SECONDS = 5.0
"""For a child to read what it is told. One that does not is stopped, or held up by what a job has left behind in it."""
LEAVE_SECONDS = 5.0
"""For a child that is not needed any more to come to its end."""
LAST_SECONDS = 1.0
"""Between the end of the wire and that of the process."""


class NotStarted(Exception):
    """The process could not be started, or has ended before it could take the run: nothing of that has run."""


class UnknownThere(Exception):
    """The child does not know the job: it has other code than its worker, which has imported more, or earlier."""


class ChildProcess:
    """Starts with the object, which may raise NotStarted.

    Used by one thread, which others may ask to ``interrupt`` or ``kill``.
    """

    def __init__(self) -> None:
        try:
            self._process, self._wire = _start()
        except OSError as error:
            raise NotStarted(f"No child process could be started: {error}.") from error
        self._ready = False
        self._ref: Ref | None = None
        self._changing = threading.Lock()
        self._killed = self._ended_by_us = False
        self.runs = 0
        """How many attempts it has run."""
        self.megabytes = 0.0
        """The memory that it took last."""

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_alive(self) -> bool:
        """Whether it can run an attempt, as far as anybody knows."""
        return not self._killed and self._process.poll() is None

    def wait_until_ready(self) -> None:
        """Raises NotStarted."""
        if self._ready:
            return
        message = self._receive(monotonic() + START_SECONDS)
        if message is None:
            self.kill()
            raise NotStarted(f"A child process {self._how_it_ended()} before it was ready.")
        self._ready, self.megabytes = True, message["megabytes"]

    def attempt(self, assignment: Assignment, on_start: OnStart) -> Ended | Refused:
        """Run an attempt. Whatever becomes of the process, this answers, or raises UnknownThere or NotStarted."""
        began = monotonic()
        hard = assignment.hard_timeout_seconds
        with self._changing:
            if not assignment.may_begin:
                return Refused(assignment.claim)
            self.runs += 1
            self._order(assignment.claim)
            self._ref = assignment.claim.ref
        try:
            return self._follow(assignment, on_start, inf if hard is None else began + hard)
        finally:
            tell_of_writing(assignment, False)
            with self._changing:
                self._ref = None

    def interrupt(self, ref: Ref, why: str) -> None:
        """Ask the job to end, if the attempt still runs. Callable from any thread."""
        with self._changing:
            if self._ref == ref:
                with suppress(OSError):
                    self._wire.send(interrupt=list(ref), why=why)

    def kill_attempt(self, ref: Ref) -> None:
        """End the process, and with it the attempt, if that still runs: it was asked to end. Callable from any thread."""
        with self._changing:
            if self._ref == ref:
                self._ended_by_us = True
                self.kill()

    def leave(self) -> None:
        """Let it end in order, which it may do in a moment. One that has run nothing has nothing to put in order."""
        if self.runs:
            with suppress(OSError):
                self._wire.send(leave=True)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(LEAVE_SECONDS)
        self.kill()
        self._process.wait()
        self._wire.close()

    def kill(self) -> None:
        """End it, and all that its jobs have started and left behind. Callable from any thread."""
        self._killed = True
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _order(self, claim: Claim) -> None:
        try:
            self._wire.send(run=plain(claim))
        except TimeoutError:
            self.kill()
            raise NotStarted("A child process did not read which run it is to take, and was killed.") from None
        except OSError:  # it has ended meanwhile, as will be seen
            pass

    def _follow(self, assignment: Assignment, on_start: OnStart, until: float) -> Ended | Refused:
        """Hear what becomes of the attempt."""
        claim, notes, taken = assignment.claim, assignment.notes, False
        began = monotonic()
        while (message := self._receive(until)) is not None:
            taken = True
            if "started" in message:
                began = monotonic()
                tell_of_writing(assignment, True)
                on_start(claim)
            elif "committed" in message:
                tell_of_commit(assignment)
            elif "said" in message and notes is not None:
                notes.tell(*message["said"])
            elif "unknown" in message:
                raise UnknownThere
            elif "refused" in message:
                self.megabytes = message["megabytes"]
                return Refused(claim, message["refused"])
            elif "ended" in message:
                self.megabytes = message["megabytes"]
                return _ended(claim, message)
        if monotonic() >= until:
            self.kill()
            return cut_off(assignment)
        if not taken:
            raise NotStarted(f"A child process {self._how_it_ended()} before it had taken the run.")
        return self._broken_off(assignment, began)

    def _broken_off(self, assignment: Assignment, began: float) -> Ended:
        """The end of an attempt in whose middle the process has ended."""
        claim, notes = assignment.claim, assignment.notes
        if self._ended_by_us:
            why = "The job did not end when it was asked to, and its process was killed."
            settlement = verdict(claim, assignment.job, Cancel(why))
        else:
            settlement = crashed(claim, f"The process of the job {self._how_it_ended()}.")
        settlement.started, settlement.finished = began, monotonic()
        if notes is not None:
            settlement.progress, settlement.metadata = notes.said
        return Ended(claim, settlement)

    def _receive(self, until: float) -> Message | None:
        """The next message; None, if it did not come in time, or the process has ended."""
        while (left := until - monotonic()) > 0:
            try:
                return self._wire.receive(min(left, LOOK_SECONDS))
            except TimeoutError:
                if self._process.poll() is not None:
                    return None
        return None

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(LAST_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
            return "closed its connection to the worker, and was killed"
        if code >= 0:
            return f"exited with code {code}"
        try:
            name = f" ({signal.Signals(-code).name})"
        except ValueError:
            name = ""
        memory = ", as the system does when memory runs out" if -code == signal.SIGKILL and not self._killed else ""
        return f"was killed by signal {-code}{name}{memory}"


def _ended(claim: Claim, message: Message) -> Ended:
    state, sent = message["state"], message["sent"]
    return Ended(
        claim,
        settlement_of(message["ended"]),
        None if state is None else State(state),
        None if sent is None else settlement_of(sent),
    )


def _start() -> tuple[subprocess.Popen[bytes], Wire]:
    """A new child, and the wire to it."""
    ours, theirs = socket.socketpair()
    with ExitStack() as broken, theirs:
        broken.callback(ours.close)
        warnings = [f"-W{option}" for option in sys.warnoptions]
        process = subprocess.Popen(  # noqa: S603  # our own command line
            [sys.executable, *warnings, "-c", PROGRAM, str(theirs.fileno()), log_format(), *sys.path],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        broken.pop_all()
    return process, Wire(ours, SEND_SECONDS)
