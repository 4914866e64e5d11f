"""The jobs of the shop. They tell what they do in a file outside of the database, where no rollback can hide it."""

from __future__ import annotations

import os
import time
from pathlib import Path

from django_jobqueue import Retry, RunContext, job

FOLDER = "JOBQUEUE_TEST_EFFECTS"
"""The variable that names the folder of the effects, and of the gate."""

PATIENCE_SECONDS = 60.0


@job
def add_up(a: int, b: int) -> int:
    return a + b


@job
def record(*, run: RunContext) -> None:
    """Leave a trace."""
    _effect(run, "start")


@job
def record_slowly(*, run: RunContext) -> None:
    """Leave a trace, and take some milliseconds."""
    _effect(run, "start")
    time.sleep(0.01)


def take_turn(*, run: RunContext) -> None:
    """Take some milliseconds, between two traces. Now and then, the first attempt comes to nothing."""
    _effect(run, "start")
    time.sleep(0.01)
    _effect(run, "end")
    if run.attempt == 1 and run.id % 7 == 0:
        raise Retry("once more", delay_seconds=0)


@job
def hold(*, run: RunContext) -> str:
    """Wait until somebody makes the file ``gate``."""
    _effect(run, "start")
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until and not Path(os.environ[FOLDER], "gate").exists():
        time.sleep(0.01)
    _effect(run, "end")
    return f"by attempt {run.attempt}"


@job(delivery="at_most_once")
def hold_once(*, run: RunContext) -> str:
    """``hold``, but never started again."""
    return hold(run=run)


def _effect(run: RunContext, word: str) -> None:
    """Append one line, in one piece."""
    line = f"{run.id} {run.attempt} {os.getpid()} {word} {time.time():.6f}\n"
    log = os.open(Path(os.environ[FOLDER], "effects"), os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o644)
    try:
        os.write(log, line.encode())
    finally:
        os.close(log)
