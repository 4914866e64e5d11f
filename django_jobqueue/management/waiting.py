"""Wait for the end of a run that workers have."""

from __future__ import annotations

import time

from django_jobqueue.models import Run
from django_jobqueue.operations.runs import get
from django_jobqueue.states import FINAL_STATES

STILL_GOING = 124
"""The exit code of who has waited in vain: that of timeout(1)."""

POLL_SECONDS = (0.05, 1.0)
"""Between two looks: so long at first, then growing to so long."""


def wait_for_end(run_id: int, seconds: float) -> Run:
    """The run when it has ended, or as it is after so many *seconds*. Raises RunNotFound where it is gone by then."""
    pause, longest = POLL_SECONDS
    until = time.monotonic() + seconds
    while True:
        run = get(run_id)
        left = until - time.monotonic()
        if run.state in FINAL_STATES or left <= 0:
            return run
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, longest)
