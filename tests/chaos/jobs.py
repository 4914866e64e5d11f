"""The jobs of chaos. They trace what they do in a file outside of the database, where no rollback can hide it."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable
from typing import NoReturn

from django_jobqueue import RunContext
from tests.shop.jobs import _effect as trace


class Unheard(BaseException):
    """What no ``except Exception`` catches."""


ENDS: dict[str, Callable[[], object]] = {
    "os._exit": lambda: os._exit(7),
    "segfault": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
}
"""How a job can take its whole process down."""

ERRORS: dict[str, type[BaseException]] = {
    error.__name__: error for error in (SystemExit, KeyboardInterrupt, GeneratorExit, Unheard)
}


def work(seconds: float, *, run: RunContext) -> str:
    """Take so long, between two traces."""
    trace(run, "start")
    time.sleep(seconds)
    trace(run, "end")
    return f"by attempt {run.attempt}"


def fall(how: str, falls: int, *, run: RunContext) -> str:
    """Do the work, and then take the process down: with each of the first attempts."""
    trace(run, "start")
    trace(run, "end")
    if run.attempt <= falls:
        ENDS[how]()
        time.sleep(60)  # the end may take a moment
    return f"by attempt {run.attempt}"


def raise_anything(error: str, *, run: RunContext) -> NoReturn:
    """Raise what is no ``Exception``, with every attempt."""
    trace(run, "start")
    trace(run, "end")
    raise ERRORS[error]
