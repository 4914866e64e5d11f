"""The jobs of chaos. They trace what they do in a file outside of the database, where no rollback can hide it."""

from __future__ import annotations

import asyncio
import ctypes
import hashlib
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from django.contrib.auth.models import Group
from django.db import DatabaseError, connection, transaction

from django_jobqueue import RunContext
from tests.shop.jobs import FOLDER
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


def _turn_for_ever() -> None:
    while True:
        pass


def _wait_in_c() -> None:
    ctypes.CDLL(None).sleep(600)  # no exception reaches it


def _end_session() -> None:
    with suppress(DatabaseError), connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")


HANGS: dict[str, Callable[[], object]] = {"turn": _turn_for_ever, "wait": _wait_in_c}
"""How a job can fail to come to an end."""

SPOILS: dict[str, Callable[[], object]] = {
    "enter": lambda: transaction.atomic().__enter__(),
    "close": lambda: connection.close(),
    "break": lambda: connection.cursor().connection.close(),
    "terminate": _end_session,
}
"""What a job can do to the connection of its thread."""


def work(seconds: float, again: float | None = None, *, run: RunContext) -> str:
    """Take so long, between two traces; or when it is started *again*, so long."""
    trace(run, "start")
    time.sleep(seconds if again is None or run.attempt == 1 else again)
    trace(run, "end")
    return f"by attempt {run.attempt}"


def enter(seconds: float, again: float | None = None, *, run: RunContext) -> str:
    """Write something, in one transaction with the end of the run."""
    trace(run, "start")
    Group.objects.create(name=f"{run.id} {run.attempt}")
    time.sleep(seconds if again is None or run.attempt == 1 else again)
    trace(run, "end")
    return f"by attempt {run.attempt}"


def hold(*, run: RunContext) -> str:
    """Wait until the gate of this attempt is open."""
    trace(run, "start")
    while not Path(os.environ[FOLDER], f"gate {run.attempt}").exists():
        time.sleep(0.01)
    trace(run, "end")
    return f"by attempt {run.attempt}"


def fall(how: str, falls: int, *, run: RunContext) -> str:
    """Do the work, and then take the process down: with each of the first attempts."""
    trace(run, "start")
    trace(run, "end")
    if run.attempt <= falls:
        trace(run, "fall")
        ENDS[how]()
        time.sleep(60)  # the end may take a moment
    return f"by attempt {run.attempt}"


def raise_anything(error: str, *, run: RunContext) -> NoReturn:
    """Raise what is no ``Exception``, with every attempt."""
    trace(run, "start")
    trace(run, "end")
    raise ERRORS[error]


def hang(how: str, *, run: RunContext) -> None:
    """Never return."""
    trace(run, "start")
    HANGS[how]()


async def defy(*, run: RunContext) -> None:
    """Heed no cancellation, for longer than any worker lives."""
    trace(run, "start")
    until = time.monotonic() + 600
    while time.monotonic() < until:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0.1)


async def block(seconds: float, *, run: RunContext) -> str:
    """Keep the event loop from turning."""
    trace(run, "start")
    time.sleep(seconds)  # that is the fault
    trace(run, "end")
    return f"by attempt {run.attempt}"


def crunch(seconds: float, *, run: RunContext) -> str:
    """Be busy in C code, a quarter of a second at a time, as a job may be that knows nothing of signals."""
    trace(run, "start")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 500_000)
    trace(run, "end")
    return f"by attempt {run.attempt}"


def spoil(how: str, *, run: RunContext) -> str:
    """Leave the connection in disorder."""
    trace(run, "start")
    SPOILS[how]()
    trace(run, "end")
    return f"by attempt {run.attempt}"
