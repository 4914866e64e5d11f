"""Threads that take assignments, as many as were ever busy at once."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from contextvars import copy_context
from queue import SimpleQueue
from time import monotonic

from django_jobqueue.engines.base import Ref
from django_jobqueue.worker import connections
from django_jobqueue.worker.assignment import Assignment
from django_jobqueue.worker.executors.executor import HandOver, OnEnded
from django_jobqueue.worker.runner import Ended, OnStart, Refused, run_attempt


class Threads(ABC):
    """Starts each assignment in an idle thread, or else in a new one."""

    def __init__(self, on_start: OnStart, on_ended: OnEnded) -> None:
        self._on_start = on_start
        self._on_ended = on_ended
        self._attempts: SimpleQueue[Assignment | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._lock = threading.Lock()

    def start(self, assignment: Assignment) -> None:
        with self._lock:
            if self._idle:
                self._idle -= 1
            else:
                self._add_thread()
        self._attempts.put(assignment)

    def close(self, seconds: float) -> None:
        with self._lock:
            threads = list(self._threads)
        for _ in threads:
            self._attempts.put(None)
        until = monotonic() + seconds
        for thread in threads:
            thread.join(max(0.0, until - monotonic()))

    @abstractmethod
    def _work(self) -> None:
        """Work assignments until None comes instead of one; say ``_done`` after each."""

    def _done(self, ended: Ended | Refused) -> None:
        """Be idle, and tell what came of it."""
        self._rest()
        self._on_ended(ended)

    def _rest(self) -> None:
        with self._lock:
            self._idle += 1

    def _add_thread(self) -> None:
        # A daemon: a job that never returns must not keep the process from ending.
        thread = threading.Thread(target=self._work, name=f"jobqueue-{len(self._threads) + 1}", daemon=True)
        self._threads.append(thread)
        thread.start()


class ThreadExecutor(Threads):
    """Runs plain functions in these threads. Nobody can interrupt them: they may ask whether they are asked to end.

    A thread that has ended an attempt goes on with the next one that waits: no other needs to wake up for it.
    """

    def __init__(self, on_start: OnStart, on_ended: OnEnded, hand_over: HandOver) -> None:
        super().__init__(on_start, on_ended)
        self._hand_over = hand_over

    def interrupt(self, ref: Ref, why: str) -> None:
        pass

    def _work(self) -> None:
        while (assignment := self._attempts.get()) is not None:
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
