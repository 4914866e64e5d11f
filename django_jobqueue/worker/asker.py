"""The asker: calls the project's functions that take part in firing schedules, in threads of its own.

One that hangs keeps its thread and its own schedule, and nothing else: the worker claims, settles, reaps and fires on.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from threading import Lock, Thread
from time import monotonic

from django_jobqueue.engines.base import NewRun
from django_jobqueue.worker import connections

logger = logging.getLogger(__name__)

THREADS = 8
"""Most functions that are called at once. If so many hang, the other functions wait."""
PATIENCE_SECONDS = 0.1
"""How long a tick waits for the next answer. Whatever takes longer is of use in a later tick."""
HANGING_SECONDS = 10.0
"""Functions that have not returned after so long are told of, once."""


@dataclass(slots=True, eq=False)
class Call:
    """A call of one function, for the schedule *name*."""

    name: str
    function: Callable[[], NewRun]
    answer: Future[NewRun] = field(default_factory=Future)
    began: float = 0.0
    told: bool = False

    def make(self) -> None:
        self.began = monotonic()
        try:
            run = self.function()
        except Exception as error:
            self.answer.set_exception(error)
        except BaseException as error:  # such as SystemExit, which must not end the worker
            self.answer.set_exception(RuntimeError(repr(error)))
        else:
            self.answer.set_result(run)


class Asker:
    """Calls functions side by side. Its threads end when there is nothing to call."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: deque[Call] = deque()
        self._running: set[Call] = set()
        self._threads = 0

    def call(self, name: str, function: Callable[[], NewRun]) -> Future[NewRun]:
        """Let *function* be called, for the schedule *name*."""
        call = Call(name, function)
        with self._lock:
            self._waiting.append(call)
            if self._threads < THREADS:
                self._threads += 1
                Thread(target=self._work, name="jobqueue-asker", daemon=True).start()
        return call.answer

    def wait(self) -> None:
        """Wait as long as answers come quickly, one after the other."""
        while coming := self._unanswered():
            if not wait(coming, PATIENCE_SECONDS, FIRST_COMPLETED).done:
                return

    def tell_of_hanging(self) -> None:
        """Log which functions have not returned for long."""
        with self._lock:
            running = list(self._running)
        for call in running:
            if not call.told and (seconds := monotonic() - call.began) > HANGING_SECONDS:
                call.told = True
                logger.error(
                    "Schedule %r makes no run: a function of the project that takes part has not returned for %.0f s.",
                    *(call.name, seconds),
                )

    def _unanswered(self) -> list[Future[NewRun]]:
        with self._lock:
            return [call.answer for call in (*self._running, *self._waiting) if not call.answer.done()]

    def _work(self) -> None:
        while (call := self._next()) is not None:
            call.make()
            with self._lock:
                self._running.discard(call)
            connections.tidy()
        connections.close_all()

    def _next(self) -> Call | None:
        """The next call; None, when this thread is to end."""
        with self._lock:
            if not self._waiting:
                self._threads -= 1
                return None
            call = self._waiting.popleft()
            self._running.add(call)
            return call
