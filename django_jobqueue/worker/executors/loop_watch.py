"""The watch over an event loop: a coroutine that waits without ``await`` holds up all others."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from time import monotonic

from django_jobqueue.engines.base import Ref

logger = logging.getLogger(__name__)

BLOCKED_SECONDS = 5.0
"""A loop that answers nobody for so long is blocked."""


class LoopWatch:
    """Says once of each time that *loop* is blocked, by which of *jobs*, whose tasks have telling names."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, thread: threading.Thread, jobs: Mapping[Ref, asyncio.Task[None] | None]
    ) -> None:
        self._loop = loop
        self._thread = thread
        self._jobs = jobs
        self._asked_at: float | None = None
        """Since when, by ``time.monotonic()``, the loop owes an answer."""
        self._told = False

    def look(self) -> None:
        """Ask the loop for an answer, or look whether it still owes one."""
        if self._asked_at is None:
            self._asked_at = monotonic()
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._answer)
        elif not self._told and monotonic() - self._asked_at >= BLOCKED_SECONDS:
            self._told = True
            logger.warning(
                "The event loop has been blocked for %g s by %s, at %s. A coroutine must not wait without await.",
                *(BLOCKED_SECONDS, self._blocker(), self._place()),
            )

    def _answer(self) -> None:
        self._asked_at = None
        self._told = False

    def _blocker(self) -> str:
        """The run whose job is busy; or, where that is a task which it has made, all whose it may be."""
        tasks = [task for task in list(self._jobs.values()) if task is not None]
        current = [task for task in tasks if task is asyncio.current_task(self._loop)]
        return " or ".join(task.get_name() for task in current or tasks) or "nobody"

    def _place(self) -> str:
        frame = sys._current_frames().get(self._thread.ident or 0)  # noqa: SLF001  # documented
        return "an unknown place" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
