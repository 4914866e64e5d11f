"""The shutdown of a worker: in its grace when it is asked to stop, at once when asked again, or to be started anew."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic

from django_jobqueue.worker.exit_codes import EXIT_DONE, EXIT_FORCED, EXIT_RECYCLE

logger = logging.getLogger(__name__)

LAST_SECONDS = 1.0
"""What observers get to come to their end, even where the grace is over."""
STUCK_SECONDS = 3.0
"""After the grace, for the main thread to hand back what still runs; less than most who send a SIGTERM wait beyond it."""
LOOK_SECONDS = 1.0
"""The longest time between two looks. Where it is more, the whole process stood still: that is not the main thread's fault."""


def nobody_ends_it() -> None:
    """What is done about a main thread that is stuck, in a process that is there for others too."""


class Shutdown:
    """How far it has come, and how much time is left."""

    def __init__(self, grace_seconds: float, break_off: Callable[[], None] = nobody_ends_it) -> None:
        """*Break_off* is called, once, where the main thread cannot end the process."""
        self.grace_seconds = grace_seconds
        self.deadline: float | None = None
        """By ``time.monotonic()``; None as long as nobody has asked."""
        self.has_begun = False
        """Whether the main thread knows."""
        self._asked = 0
        self._recycling = False
        self._break_off = break_off
        self._has_broken_off = False
        self._looked_at = monotonic()
        self._stuck_seconds = 0.0
        """For how long the main thread has not come to its end, by the looks since the grace was over."""

    @property
    def wanted(self) -> bool:
        return self._asked > 0 or self._recycling

    @property
    def forced(self) -> bool:
        """Whether nothing more is waited for."""
        return self._asked > 1

    @property
    def overdue(self) -> bool:
        return self.deadline is not None and monotonic() >= self.deadline

    @property
    def exit_code(self) -> int:
        if self.forced:
            return EXIT_FORCED
        return EXIT_RECYCLE if self._recycling else EXIT_DONE

    def ask(self) -> None:
        """Safe in signal handlers."""
        self._asked += 1
        if self._asked <= 2:
            self.deadline = monotonic() + (self.grace_seconds if self._asked == 1 else 0.0)

    def recycle(self) -> None:
        """End as if asked to, with the exit code that asks for a new start."""
        self._recycling = True
        self.deadline = monotonic() + self.grace_seconds

    def begin(self) -> None:
        self.has_begun = True

    def look(self) -> None:
        """Break off what cannot come to its end: the main thread may wait for a database for ever. For another thread."""
        before, self._looked_at = self._looked_at, monotonic()
        if self.deadline is None or self._has_broken_off:
            return
        self._stuck_seconds += max(0.0, min(self._looked_at - max(before, self.deadline), LOOK_SECONDS))
        if self._stuck_seconds < STUCK_SECONDS:
            return
        self._has_broken_off = True
        self._break_off()
        logger.error("The database keeps this worker from coming to its end. Its runs are left to the reapers.")

    def seconds_left(self) -> float:
        """How long the rest may take: what is left of the grace, but at least a moment."""
        if self.forced:
            return LAST_SECONDS
        deadline = self.deadline or monotonic() + self.grace_seconds
        return max(LAST_SECONDS, deadline - monotonic())
