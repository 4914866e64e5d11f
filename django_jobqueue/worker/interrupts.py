"""Interrupts: how a plain function is told, in the main thread of a child, that it has to end: by an exception."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django_jobqueue.errors import AttemptTimedOut
from django_jobqueue.jobs import Cancel


class Interrupts:
    """Raises from signal handlers, and only around the call of a job.

    A SIGTERM that comes from elsewhere, to all processes of a container at once, interrupts nobody: the worker decides.
    """

    def __init__(self) -> None:
        self._open = False
        self._seconds: float | None = None
        self.why: str | None = None
        """Why the attempt is asked to end, if it is."""

    @contextmanager
    def around(self, seconds: float | None) -> Iterator[None]:
        """Let the body be interrupted after so many *seconds*, or when somebody asks. For the main thread."""
        self.install()  # the job before may have had handlers of its own
        self._seconds, self._open = seconds, True
        try:
            if self.why is not None:
                raise Cancel(self.why)
            if seconds is not None:
                signal.setitimer(signal.ITIMER_REAL, seconds)
            yield
        finally:
            self._open = False
            signal.setitimer(signal.ITIMER_REAL, 0)

    def cancel(self, why: str) -> None:
        """Interrupt the job. For any other thread."""
        self.why = why
        if (main := threading.main_thread().ident) is not None:
            signal.pthread_kill(main, signal.SIGTERM)  # it also ends a system call that waits

    def forget(self) -> None:
        """Begin anew, with another attempt."""
        self.why = None

    def install(self) -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGALRM, signal.SIGTERM))
        signal.signal(signal.SIGALRM, self._on_alarm)
        signal.signal(signal.SIGTERM, self._on_term)
        signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C is the worker's; what the job starts inherits no SIG_IGN

    def _on_alarm(self, *_: object) -> None:
        if self._open and self._seconds is not None:
            raise AttemptTimedOut(self._seconds)

    def _on_term(self, *_: object) -> None:
        if self._open and self.why is not None:
            raise Cancel(self.why)
