"""Alarms: calls that are made at a time to come, unless they are called off."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from time import monotonic
from typing import TypeAlias

Alarm: TypeAlias = tuple[float, int]
"""When, by ``time.monotonic()``, and which one."""

SPARE = 100
"""Alarms that were called off, and may stay in the heap."""


class Alarms:
    """Makes the calls in a thread of its own, which begins with the first one."""

    def __init__(self) -> None:
        self._calls: dict[Alarm, Callable[[], None]] = {}
        self._heap: list[Alarm] = []
        self._numbers = count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def after(self, seconds: float, call: Callable[[], None]) -> Alarm:
        """Let *call* be made in so many seconds."""
        alarm = monotonic() + seconds, next(self._numbers)
        with self._changed:
            self._calls[alarm] = call
            heapq.heappush(self._heap, alarm)
            if self._thread is None:
                self._begin()
            elif self._heap[0] == alarm:
                self._changed.notify()
        return alarm

    def call_off(self, alarm: Alarm) -> None:
        """Let the call not be made; it may be too late for that."""
        with self._changed:
            self._calls.pop(alarm, None)
            if len(self._heap) > 2 * len(self._calls) + SPARE:
                self._heap = list(self._calls)
                heapq.heapify(self._heap)

    def close(self) -> None:
        """Make no call any more."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _begin(self) -> None:
        thread = threading.Thread(target=self._work, name="jobqueue-alarms", daemon=True)
        with suppress(RuntimeError):  # none can be started now: the next alarm tries again, and makes up for this one
            thread.start()
            self._thread = thread

    def _work(self) -> None:
        while (call := self._next()) is not None:
            call()

    def _next(self) -> Callable[[], None] | None:
        """Wait for the next call that is due; None, when there are no more."""
        with self._changed:
            while not self._closed:
                while self._heap and self._heap[0] not in self._calls:
                    heapq.heappop(self._heap)
                if not self._heap:
                    self._changed.wait()
                elif (seconds := self._heap[0][0] - monotonic()) > 0:
                    self._changed.wait(seconds)
                else:
                    return self._calls.pop(heapq.heappop(self._heap))
        return None
