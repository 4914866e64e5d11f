"""The child: a process that runs one attempt at a time for the worker that has started it.

It is a fresh interpreter with Django set up, never a fork. A plain function runs in its main thread. It ends with its
worker, however that ends.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from contextvars import copy_context
from pathlib import Path
from queue import SimpleQueue

from django_jobqueue.engines.base import Claim, Ref
from django_jobqueue.jobs import Notes
from django_jobqueue.worker import connections
from django_jobqueue.worker.assignment import Assignment, known_job
from django_jobqueue.worker.executors.event_loop import AsyncioExecutor
from django_jobqueue.worker.executors.executor import nobody_waits
from django_jobqueue.worker.interrupts import Interrupts
from django_jobqueue.worker.logged_lines import printing_what_is_logged
from django_jobqueue.worker.output import keep_output_open
from django_jobqueue.worker.runner import Ended, Refused, run_attempt
from django_jobqueue.worker.wire import Message, Wire, claim_of, plain

NOTES_SECONDS = 1.0
"""Between two looks at what the job has noted."""

LAST_SECONDS = 3.0
"""For what jobs have left behind on the event loop."""

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Work until the worker says that it is enough. The arguments: the descriptor of the wire, and how to print what is logged."""
    end_with_parent()
    gc.freeze()
    gc.enable()
    keep_output_open()
    wire, log_format = sys.argv[1:3]
    with printing_what_is_logged(sys.stderr, log_format):
        Child(Wire(socket.socket(fileno=int(wire)))).work()


def end_with_parent() -> None:
    """On Linux, have the kernel kill this process with its parent, and rather than its parent where memory is short.

    Everywhere, the end of the wire tells the same; but not to a process that a job keeps from running Python.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            Path("/proc/self/oom_score_adj").write_text("500")


def megabytes() -> float:
    """The memory that this process takes; 0 where the system does not tell."""
    try:
        pages = Path("/proc/self/statm").read_text().split()[1]
    except OSError:
        return 0.0
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20


class Surroundings:
    """What a job may change of its process, and the next one is to find as it was."""

    def __init__(self) -> None:
        self._directory: str | None = None
        with suppress(OSError):  # deleted, as by a deployment
            self._directory = os.getcwd()
        self._umask = os.umask(0o077)
        os.umask(self._umask)

    def restore(self) -> None:
        os.umask(self._umask)
        if self._directory is not None:
            with suppress(OSError):
                os.chdir(self._directory)


class Child:
    """Runs what comes over the *wire*, and sends back what came of it."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._inbox: SimpleQueue[tuple[Claim, Notes] | None] = SimpleQueue()
        self._outbox: SimpleQueue[Ended | Refused] = SimpleQueue()
        self._interrupts = Interrupts()
        self._surroundings = Surroundings()
        self._coroutines = AsyncioExecutor(self._tell_of_start, self._outbox.put, nobody_waits)
        self._now: tuple[Ref, Notes] | None = None
        self._changing = threading.Lock()

    def work(self) -> None:
        """Work in the main thread, while another one listens."""
        self._interrupts.install()
        threading.Thread(target=self._listen, name="jobqueue-child", daemon=True).start()
        self._wire.send(ready=True, megabytes=megabytes())
        while (order := self._inbox.get()) is not None:
            self._work(*order)
        self._coroutines.close(LAST_SECONDS)
        connections.close_all()

    def _work(self, claim: Claim, notes: Notes) -> None:
        self._wire.send(taken=True)  # from here on, the code of the project may be what ends this process
        job = known_job(claim)
        if job is None:
            self._wire.send(unknown=True)
            return
        ended = self._attempt(Assignment(claim, job, notes))
        self._surroundings.restore()
        with self._changing:
            self._now = None
        if isinstance(ended, Refused):
            self._wire.send(refused=ended.delay_seconds, megabytes=megabytes())
        else:
            sent = None if ended.sent is None else plain(ended.sent)
            self._wire.send(ended=plain(ended.settlement), state=ended.state, sent=sent, megabytes=megabytes())

    def _attempt(self, assignment: Assignment) -> Ended | Refused:
        if assignment.job.is_async:
            self._coroutines.start(assignment)
            if (why := self._interrupts.why) is not None:
                self._coroutines.interrupt(assignment.claim.ref, why)
            return self._outbox.get()
        connections.tidy()
        connections.limit(assignment.timeout_seconds)
        around = self._interrupts.around(assignment.timeout_seconds)
        ended = copy_context().run(run_attempt, assignment, self._tell_of_start, around, self._tell_of_commit)
        connections.tidy()
        connections.lift()
        return ended

    def _tell_of_start(self, claim: Claim) -> None:
        self._wire.send(started=True)

    def _tell_of_commit(self) -> None:
        self._wire.send(committed=True)

    def _listen(self) -> None:
        """Obey, until the worker says that it is enough. When it is gone, end, whatever the job does."""
        with suppress(OSError):
            while (message := self._hear()) is not None:
                if "leave" in message:
                    self._inbox.put(None)
                    return
                self._obey(message)
        os._exit(1)

    def _hear(self) -> Message | None:
        """The next message, or None when the worker is gone. Until it comes, tell now and then what the job notes."""
        while True:
            try:
                return self._wire.receive(NOTES_SECONDS)
            except TimeoutError:
                self._tell_notes()

    def _obey(self, message: Message) -> None:
        with self._changing:  # so that the attempt that is interrupted is the one that is meant
            if "run" in message:
                claim = claim_of(message["run"])
                notes = Notes(claim.metadata)
                self._interrupts.forget()
                self._now = claim.ref, notes
                self._inbox.put((claim, notes))
            elif self._now is not None and list(self._now[0]) == message["interrupt"]:
                ref, notes = self._now
                notes.cancel_requested = True
                self._interrupts.cancel(message["why"])
                self._coroutines.interrupt(ref, message["why"])

    def _tell_notes(self) -> None:
        with self._changing:  # or they might be taken for those of the next attempt
            now = self._now
            if now is not None and (said := now[1].unstored()) is not None:
                self._wire.send(said=list(said))
                now[1].stored(said)
