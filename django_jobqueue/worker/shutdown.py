"""The shutdown of a worker: in its grace when it is asked to stop, at once when asked again, or to be started anew."""

from __future__ import annotations

from time import monotonic

from django_jobqueue.worker.exit_codes import EXIT_DONE, EXIT_FORCED, EXIT_RECYCLE

LAST_SECONDS = 1.0
"""What observers get to come to their end, even where the grace is over."""


class Shutdown:
    """How far it has come, and how much time is left."""

    def __init__(self, grace_seconds: float) -> None:
        self.grace_seconds = grace_seconds
        self.deadline: float | None = None
        """By ``time.monotonic()``; None as long as it has not begun."""
        self._asked = 0
        self._recycling = False

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

    def recycle(self) -> None:
        """End as if asked to, with the exit code that asks for a new start."""
        self._recycling = True

    def begin(self) -> None:
        self.deadline = monotonic() + self.grace_seconds

    def seconds_left(self) -> float:
        """How long the rest may take: what is left of the grace, but at least a moment."""
        if self.forced:
            return LAST_SECONDS
        deadline = self.deadline or monotonic() + self.grace_seconds
        return max(LAST_SECONDS, deadline - monotonic())
