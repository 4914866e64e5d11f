"""The supervisor: starts worker processes, watches them, replaces those that end, and stops them all.

It claims nothing and touches no database. Its programs are started afresh, never forked, and share nothing with it but
a pipe: a byte tells a worker to stop, and the end of the pipe that its supervisor is gone.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic

from django_jobqueue.worker.exit_codes import EXIT_DONE, EXIT_FORCED, EXIT_RECYCLE
from django_jobqueue.worker.liveness import LivenessFile

logger = logging.getLogger(__name__)

FIRST_DELAY_SECONDS = 1.0
LONGEST_DELAY_SECONDS = 30.0
"""Between the starts of a program that keeps failing."""
HEALTHY_SECONDS = 60.0
"""A program that ran for so long starts with a clean slate."""
KILL_AFTER_SECONDS = 5.0
"""How much longer than its grace a program may take to stop."""
TURN_SECONDS = 1.0

STOP = b"."


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to start."""

    name: str
    arguments: Sequence[str]
    ends: bool = False
    """Whether it is done when it ends by itself, and not to be started again; its exit code is then ours."""


@dataclass(slots=True)
class Child:
    """A program, and the process that runs it now."""

    program: Program
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    failures: int = 0
    done: bool = field(default=False)

    def start(self) -> None:
        self.started_at = monotonic()
        self.process = subprocess.Popen(  # noqa: S603  # our own command line
            self.program.arguments, stdin=subprocess.PIPE, start_new_session=True
        )

    def stop(self) -> None:
        if self.process is not None and self.process.stdin is not None:
            with suppress(OSError):
                self.process.stdin.write(STOP)
                self.process.stdin.flush()

    def kill(self) -> None:
        """End it, and what it has started: a tether ends without what it holds."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def ended(self) -> int | None:
        """The exit code, once the process has ended."""
        return None if self.process is None else self.process.poll()

    def forget(self) -> None:
        if self.process is not None and self.process.stdin is not None:
            with suppress(OSError):
                self.process.stdin.close()
        self.process = None


class Supervisor:
    """Keeps *programs* running until it is stopped, or until all of them are done."""

    def __init__(self, programs: Sequence[Program], *, grace_seconds: float, liveness_file: Path | None = None) -> None:
        self._children = [Child(program) for program in programs]
        self._grace_seconds = grace_seconds
        self._liveness = LivenessFile(liveness_file)
        self._inbox: SimpleQueue[None] = SimpleQueue()
        self._stops = 0
        self._obeyed = 0
        self._deadline = 0.0
        self._code = EXIT_DONE

    def run(self) -> int:
        """Supervise; return the exit code of the process. Call it once."""
        self._liveness.remove_those_of_workers()
        try:
            while not all(child.done for child in self._children):
                self._turn()
        finally:
            self._kill()
            self._liveness.remove()
        return self._code

    def stop(self) -> None:
        """Ask all programs to stop: in their grace at the first call, at once at the second. Safe in signal handlers."""
        self._stops += 1
        self._inbox.put(None)

    def wake(self) -> None:
        """Look at the programs now: one may have ended. Safe in signal handlers."""
        self._inbox.put(None)

    def _turn(self) -> None:
        self._liveness.touch()
        for child in self._children:
            self._tend(child)
        if self._stops > self._obeyed:
            self._pass_on()
        if self._stops and monotonic() > self._deadline:
            self._kill()
        if os.getpid() == 1:
            self._bury_orphans()
        with suppress(Empty):
            self._inbox.get(timeout=self._pause())

    def _tend(self, child: Child) -> None:
        code = child.ended()
        if code is not None:
            child.forget()
            self._after(child, code)
        if child.process is None and not child.done and monotonic() >= child.start_at:
            try:
                child.start()
            except OSError as error:  # no memory, no process, no descriptor: perhaps later
                self._delay(child, f"cannot be started: {error}")

    def _after(self, child: Child, code: int) -> None:
        """Decide what follows the end of a process."""
        if code == EXIT_RECYCLE and not self._stops:
            child.failures, child.start_at = 0, 0.0
            return
        if self._stops or (child.program.ends and code >= 0):
            child.done = True
            if code == EXIT_FORCED or child.program.ends:
                self._code = max(self._code, code)
            return
        self._delay(child, _how(code))

    def _delay(self, child: Child, how: str) -> None:
        """Start *child* again, the later the more often it fails."""
        child.failures = 1 if monotonic() - child.started_at > HEALTHY_SECONDS else child.failures + 1
        delay = min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** min(child.failures - 1, 10))
        child.start_at = monotonic() + delay
        logger.warning("%s %s; it is started again in %g s.", child.program.name, how, delay)

    def _pass_on(self) -> None:
        """Tell every program once for each time that we were told."""
        if self._obeyed == 0:
            self._deadline = monotonic() + self._grace_seconds + KILL_AFTER_SECONDS
        while self._obeyed < self._stops:
            self._obeyed += 1
            for child in self._children:
                child.stop()
        for child in self._children:
            child.done = child.done or child.process is None

    def _kill(self) -> None:
        """End what has not ended in time: its runs are left to the reapers."""
        for child in self._children:
            if child.process is not None:
                logger.error("%s did not stop in time, and is killed.", child.program.name)
                child.kill()
                child.forget()
                child.done = True
                self._code = EXIT_FORCED

    def _pause(self) -> float:
        waits = [child.start_at - monotonic() for child in self._children if child.process is None and not child.done]
        return max(0.0, min([TURN_SECONDS, *waits]))

    def _bury_orphans(self) -> None:
        """As process 1 of a container, collect the processes that jobs left behind."""
        ours = {child.process.pid for child in self._children if child.process is not None}
        with suppress(ChildProcessError):
            while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
                if ended.si_pid in ours:
                    break
                os.waitpid(ended.si_pid, 0)


def _how(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
