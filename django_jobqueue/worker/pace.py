"""How fast a worker gets through its runs, and so how many it may claim ahead of its slots."""

from __future__ import annotations

from time import monotonic

from django_jobqueue.worker.runner import Ended

SHORT_SECONDS = 0.01
"""Below this mean, an attempt is shorter than a few trips to the database: runs are claimed ahead."""
AHEAD_SECONDS = 0.05
"""The work that may lie ready: no run waits much longer here while another worker is idle."""
AHEAD_MOST = 1000
STALLED_SECONDS = 1.0
"""Where nothing has ended for so long, what lies ready is handed back."""
WEIGHT = 0.1
"""Of the latest attempt in the mean."""


class Pace:
    """A moving mean of how long attempts take."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self.reset()

    def reset(self) -> None:
        """Begin anew, claiming nothing ahead until many short attempts have ended."""
        self._mean_seconds = 1.0
        self._last_end = monotonic()

    def add(self, ended: Ended) -> None:
        self._mean_seconds += WEIGHT * (ended.seconds - self._mean_seconds)
        self._last_end = monotonic()

    def begin(self) -> None:
        """Work begins after a time without any: what ended before says nothing of a stall."""
        self._last_end = monotonic()

    def ahead(self) -> int:
        """How many runs to hold beyond those that run."""
        if self._mean_seconds >= SHORT_SECONDS:
            return 0
        return int(min(AHEAD_MOST, AHEAD_SECONDS * self._slots / max(self._mean_seconds, 1e-6)))

    def is_stalled(self) -> bool:
        return monotonic() - self._last_end > STALLED_SECONDS
