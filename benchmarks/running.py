"""A worker as users run it: ``runjobs``, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, sleep

import psutil

from django_jobqueue.models import Worker

PATIENCE_SECONDS = 60.0


@contextmanager
def running_worker(*arguments: str) -> Iterator[psutil.Process]:
    """Run a worker of the queue ``default`` until the block ends; it has begun to look for work when the block begins."""
    process = psutil.Popen(
        [sys.executable, "-m", "django", "runjobs", "default", *arguments], stdout=subprocess.DEVNULL
    )
    try:
        wait_until(Worker.objects.exists, "a worker has started")
        yield process
    finally:
        process.terminate()
        process.wait()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Return when *condition* holds."""
    deadline = monotonic() + PATIENCE_SECONDS
    while not condition():
        if monotonic() > deadline:
            raise SystemExit(f"It takes more than {PATIENCE_SECONDS:.0f} s until {what}.")
        sleep(0.05)
