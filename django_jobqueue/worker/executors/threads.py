"""Threads that take assignments, as many as were ever busy at once."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from contextvars import copy_context
from queue import SimpleQueue
from time import monotonic
from typing import TypeAlias

from django_jobqueue.engines.base import Ref
from django_jobqueue.worker import connections
from django_jobqueue.worker.assignment import Assignment
from django_jobqueue.worker.executors.executor import HandOver, OnEnded
from django_jobqueue.worker.runner import Ended, OnStart, Refused, run_attempt

Attempts: TypeAlias = SimpleQueue[Assignment | None]
"""What one thread is handed; None: it is to end."""


class Threads(ABC):
    """Starts each assignment in an idle thread, or else in a new one."""

    def __init__(self, on_start: OnStart, on_ended: OnEnded) -> None:
        self._on_start = on_start
        self._on_ended = on_ended
        self._threads: dict[threading.Thread, Attempts] = {}
        self._idle: list[threading.Thread] = []
        """The last one gets the next attempt, mostly who was busy last: those that light traffic does not need have nothing to do."""
        self._lock = threading.Lock()

    def start(self, assignment: Assignment) -> None:
        with self._lock:
            thread = self._idle.pop() if self._idle else self._add_thread()
            attempts = self._threads[thread]
        attempts.put(assignment)

    def close(self, seconds: float) -> None:
        with self._lock:
            threads = dict(self._threads)
        for attempts in threads.values():
            attempts.put(None)
        until = monotonic() + seconds
        for thread in threads:
            thread.join(max(0.0, until - monotonic()))

    @abstractmethod
    def _work(self, attempts: Attempts) -> None:
        """Work assignments until None comes instead of one; say ``_done`` after each."""

    def _done(self, ended: Ended | Refused, *, is_ready: bool = True) -> None:
        """Be idle, and tell what came of it."""
        self._rest(is_ready=is_ready)
        self._on_ended(ended)

    def _rest(self, *, is_ready: bool = True) -> None:
        """Be idle; if not *ready*, get an attempt only where all others are busy."""
        with self._lock:
            self._idle.insert(len(self._idle) if is_ready else 0, threading.current_thread())

    def _add_thread(self) -> threading.Thread:
        attempts: Attempts = SimpleQueue()
        name = f"jobqueue-{len(self._threads) + 1}"
        # A daemon: a job that never returns must not keep the process from ending.
        thread = threading.Thread(target=self._work, args=[attempts], name=name, daemon=True)
        thread.start()
        self._threads[thread] = attempts
        return thread


class ThreadExecutor(Threads):
    """Runs plain functions in these threads. Nobody can interrupt them: they may ask whether they are asked to end.

    A thread that has ended an attempt goes on with the next one that waits: no other needs to wake up for it.
    """

    def __init__(self, on_start: OnStart, on_ended: OnEnded, hand_over: HandOver) -> None:
        super().__init__(on_start, on_ended)
        self._hand_over = hand_over

    def interrupt(self, ref: Ref, why: str) -> None:
        pass

    def _work(self, attempts: Attempts) -> None:
        while (assignment := attempts.get()) is not None:
            connections.tidy()
            following: Assignment | None = assignment
            while following is not None:
                ended = self._attempt(following)
                following = self._hand_over(ended)
            self._done(ended)
        connections.close_all()

    def _attempt(self, assignment: Assignment) -> Ended | Refused:
        connections.limit(assignment.timeout_seconds)
        ended = copy_context().run(run_attempt, assignment, self._on_start)  # a language that it activates ends with it
        connections.tidy()
        connections.lift()
        return ended
