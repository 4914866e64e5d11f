"""The jobs of the shop. They tell what they do in a file outside of the database, where no rollback can hide it."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import os
import signal
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.utils import timezone, translation

from django_jobqueue import Cancel, Retry, RunContext, job
from django_jobqueue.errors import AttemptTimedOut
from django_jobqueue.models import Run

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
def fall(*, run: RunContext) -> None:
    """Take the worker down, once, when it has claimed runs that it has not started."""
    _effect(run, "start")
    fallen = Path(os.environ[FOLDER], "fallen")
    if not fallen.exists() and Run.objects.in_state("running").filter(pk__gt=run.id).exists():
        fallen.touch()
        os.kill(os.getpid(), signal.SIGKILL)
        _wait_for_gate()  # the end may take a moment


@job
def record_slowly(*, run: RunContext) -> None:
    """Leave a trace, and take some milliseconds."""
    _effect(run, "start")
    time.sleep(0.01)


def take_turn(seconds: float = 0.01, gated: bool = False, *, run: RunContext) -> None:
    """Take some time, between two traces. Now and then, the first attempt comes to nothing."""
    _effect(run, "start")
    if gated:
        _wait_for_gate()
    time.sleep(seconds)
    _effect(run, "end")
    if run.attempt == 1 and run.id % 7 == 0:
        raise Retry("once more", delay_seconds=0)


@job
def hold(*, run: RunContext) -> str:
    """Wait until somebody makes the file ``gate``."""
    _effect(run, "start")
    _wait_for_gate()
    _effect(run, "end")
    return f"by attempt {run.attempt}"


@job
def leave_thread(*, run: RunContext) -> None:
    """Let somebody else wait for the gate."""
    ThreadPoolExecutor(1, "left behind").submit(_wait_for_gate)


@job(delivery="at_most_once")
def hold_once(*, run: RunContext) -> str:
    """``hold``, but never started again."""
    return hold(run=run)


@job(executor="process")
def tell_pid(*, run: RunContext) -> int:
    """Tell the process that it runs in."""
    _effect(run, "start")
    return os.getpid()


@job(executor="process")
def tell_of_garbage() -> dict[str, bool]:
    """Tell whether garbage is looked for, and whether in what was loaded, too."""
    return {"collects": gc.isenabled(), "has_frozen": gc.get_freeze_count() > 0}


@job(executor="process", max_crashes=2)
def die(ways: list[str], *, run: RunContext) -> None:
    """Take the process down, with each attempt in the next way."""
    how = ways[run.attempt - 1]
    run.progress(1, 2, how)
    _effect(run, "start")
    if how == "segfault":
        ctypes.string_at(0)
    os.kill(os.getpid(), signal.SIGKILL)


def _die_first(*_: object) -> bool:
    os._exit(3)


@job(executor="process", preflight={"okay_to_run": _die_first})
def never_begin() -> None:
    """Has a question that takes the process down."""
    raise AssertionError("not here")


@job(executor="process")
def fork(how: str) -> int:
    """Go on in two processes, and tell how the other one ended."""
    with warnings.catch_warnings(action="ignore"):  # that a process with threads should not
        other = os.fork()
    if other:
        return os.waitstatus_to_exitcode(os.waitpid(other, 0)[1])
    if how == "exit":
        sys.exit(3)
    if how == "fail":
        raise ValueError(how)
    return 7


@job(executor="process")
def speak(*, run: RunContext) -> dict[str, object]:
    """Say something, and wait until it is known."""
    run.progress(1, 3, "half way")
    run.update_metadata(page=7)
    _effect(run, "start")
    _wait_for_gate()
    run.requeue(delay_seconds=3600)
    return {"not": "this"}


@job(executor="process", timeout_seconds=0.3, hard_timeout_seconds=60, max_attempts=1)
def overrun(*, run: RunContext) -> None:
    """Wait in one system call."""
    try:
        _effect(run, "start")
        time.sleep(PATIENCE_SECONDS)
    finally:
        _effect(run, "end")


@job(executor="process", timeout_seconds=0.3, hard_timeout_seconds=60, max_attempts=1)
async def overrun_too(*, run: RunContext) -> None:
    """Wait as a coroutine."""
    await asyncio.sleep(PATIENCE_SECONDS)


@job(executor="process", timeout_seconds=0.2, hard_timeout_seconds=0.5, max_attempts=1)
def defy(*, run: RunContext) -> None:
    """Heed no exception, and keep a grandchild."""
    with suppress(AttemptTimedOut):
        time.sleep(PATIENCE_SECONDS)
    subprocess.Popen(["/bin/sleep", "600"])  # longer than anybody waits for its end
    _effect(run, "start")
    time.sleep(2 * PATIENCE_SECONDS)


@job(executor="process")
def linger(*, run: RunContext) -> str:
    """Wait until somebody interrupts it, or the gate is open."""
    try:
        _effect(run, "start")
        _wait_for_gate()
    except Cancel:
        _effect(run, "cancelled" if run.cancel_requested else "interrupted")
        raise
    return "not cancelled"


@job(executor="process")
def seize(*, run: RunContext) -> None:
    """Sleep as C code does that lets no other thread of its process have its turn, for longer than anybody waits."""
    _effect(run, "start")
    ctypes.PyDLL(None).sleep(600)


@job(executor="process")
def stand_firm(*, run: RunContext) -> str:
    """Heed no cancellation."""
    with suppress(Cancel):  # it is asked once
        _effect(run, "start")
        _wait_for_gate()
    while not Path(os.environ[FOLDER], "gate").exists():
        with suppress(Cancel):
            _wait_for_gate()
    return "not cancelled"


@job(executor="process")
def shrug(*, run: RunContext) -> str:
    """Come to a good end when it is cancelled."""
    with suppress(Cancel):
        _effect(run, "start")
        _wait_for_gate()
    return f"asked to end: {run.cancel_requested}"


@job(executor="process")
def wander() -> list[object]:
    """Tell where it begins, and change that."""
    found = [os.getcwd(), os.umask(0o007)]
    os.chdir("/")
    return found


@job(executor="process")
def leave_transaction_open() -> bool:
    """Tell whether it begins in a transaction, and leave one behind."""
    found = connection.in_atomic_block
    transaction.atomic().__enter__()
    Group.objects.create(name="left behind")
    return found


@job(executor="process")
def translate() -> list[str]:
    """Tell for whom it would write, and write for somebody else."""
    found = [translation.get_language(), timezone.get_current_timezone_name()]
    translation.activate("de")
    timezone.activate("Asia/Tokyo")
    return found


@job(executor="process")
async def linger_too(*, run: RunContext) -> None:
    """The same, as a coroutine."""
    _effect(run, "start")
    await asyncio.sleep(PATIENCE_SECONDS)


@job(executor="process")
def hoard(megabytes: int, *, run: RunContext) -> int:
    """Take memory, and keep it."""
    HOARD.append(bytearray(megabytes * 2**20))
    return os.getpid()


@job(executor="process")
def report(who: str = "child") -> None:
    """Print, and log; and try that nobody else can."""
    print(f"printed by a {who}")
    logging.getLogger("tests.shop").warning("logged by a %s", who)
    sys.stdout.close()
    sys.stderr.close()


@job
def report_here() -> None:
    """The same, in the process of the worker."""
    report("thread")


@job(atomic=True)
def enter(die: str = "", *, run: RunContext) -> str:
    """Write something. The first attempt may take the process down before that is committed, or after."""
    Group.objects.create(name=f"by attempt {run.attempt}")
    _effect(run, "start")
    if run.attempt == 1 and die == "before the commit":
        os.kill(os.getpid(), signal.SIGKILL)
    if die == "never, but wait after the commit":
        transaction.on_commit(_wait_for_gate)
    if run.attempt == 1 and die == "after the commit":
        transaction.on_commit(lambda: os.kill(os.getpid(), signal.SIGKILL))
    return f"by attempt {run.attempt}"


@job(executor="process", atomic=True)
def enter_in_child(die: str = "", *, run: RunContext) -> str:
    """The same, in a process of its own."""
    return enter(die, run=run)


@job(executor="process", atomic=True)
def linger_in_transaction(*, run: RunContext) -> None:
    """Wait for the gate, which on SQLite keeps everybody else from writing."""
    _effect(run, "start")
    _wait_for_gate()


@job
def count_crashes(*, run: RunContext) -> int:
    """A plain job that tells where it runs."""
    _effect(run, "start")
    return os.getpid()


HOARD: list[bytearray] = []


def _wait_for_gate() -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until and not Path(os.environ[FOLDER], "gate").exists():
        time.sleep(0.01)


def _effect(run: RunContext, word: str) -> None:
    """Append one line, in one piece."""
    line = f"{run.id} {run.attempt} {os.getpid()} {word} {time.time():.6f}\n"
    log = os.open(Path(os.environ[FOLDER], "effects"), os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o644)
    try:
        os.write(log, line.encode())
    finally:
        os.close(log)
