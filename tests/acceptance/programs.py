"""Workers in processes of their own, and what their jobs leave behind."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import IO, Any, NamedTuple, Self, TypeAlias

from django.db import connection
from django.utils import timezone

from django_jobqueue.models import Run

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60.0

Stream: TypeAlias = int | IO[Any] | None


class Effect(NamedTuple):
    """A line that a job has written: outside of the database, where no rollback can hide it."""

    run_id: int
    attempt: int
    pid: int
    word: str
    at: float


class Effects:
    """The folder that the jobs of ``tests.shop`` write to, and where they look for the gate."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def all(self, word: str | None = None) -> list[Effect]:
        """What was written so far, in its order."""
        log = self.folder / "effects"
        whole, _, _ = log.read_text().rpartition("\n") if log.exists() else ("", "", "")
        effects = [
            Effect(int(run_id), int(attempt), int(pid), said, float(at))
            for run_id, attempt, pid, said, at in map(str.split, whole.splitlines())
        ]
        return [effect for effect in effects if word in (None, effect.word)]

    def wait_for(self, word: str, count: int = 1, *, attempt: int | None = None) -> list[Effect]:
        """Wait for so many effects of this word, and attempt if given."""

        def found() -> list[Effect]:
            return [effect for effect in self.all(word) if attempt in (None, effect.attempt)]

        wait_until(lambda: len(found()) >= count, f"{count} times {word!r}")
        return found()

    def open_gate(self) -> None:
        (self.folder / "gate").touch()


class WorkerProcess:
    """``runjobs`` in a process of its own, which does not outlive the block."""

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path,
        *,
        environment: dict[str, str] | None = None,
        script: str | None = None,
        stdout: Stream = subprocess.PIPE,
        stderr: Stream = subprocess.STDOUT,
    ) -> None:
        """*script* is for the shell, and starts its arguments."""
        self.lines: list[str] = []
        self._printed = threading.Condition()
        self.environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "tests.acceptance.settings",
            "JOBQUEUE_TEST_EFFECTS": str(folder),
            "PYTHONIOENCODING": "utf-8",
            **(environment or {}),
        }
        self._command = [sys.executable, "-m", "django", "runjobs", *arguments]
        if script is not None:
            self._command = ["/bin/sh", "-c", script, *self._command]
        self._stdout, self._stderr = stdout, stderr

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=self._stdout,
            stderr=self._stderr,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join()
        if self.process.stdout is not None:
            self.process.stdout.close()
        if error is not None:
            print(self.output)  # for the report of the failure

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    @property
    def name(self) -> str:
        """The worker's name, which the banner tells."""
        self.wait_until_ready()
        banner = next(line for line in self.lines if f":{self.pid}:" in line)
        return next(word for word in banner.split() if f":{self.pid}:" in word).rstrip(".")

    def wait_until_ready(self) -> Self:
        self.wait_for_line(f":{self.pid}:")
        return self

    def wait_for_line(self, text: str) -> None:
        """Wait until a line with *text* was printed."""
        with self._printed:
            found = self._printed.wait_for(
                lambda: any(text in line for line in self.lines) or self._has_ended(), PATIENCE_SECONDS
            )
        assert found, f"{text!r} was not printed:\n{self.output}"
        assert any(text in line for line in self.lines), f"it ended without printing {text!r}:\n{self.output}"

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """Return the exit code, when it has ended by itself."""
        code = self.process.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)
        return code

    def stop(self) -> int:
        """Ask it to stop by SIGTERM, and return the exit code."""
        self.send(signal.SIGTERM)
        return self.wait()

    def freeze(self) -> None:
        """Let it stand still."""
        freeze(self.pid)

    def kill(self) -> None:
        """End it in the middle of it all. Nobody waits for the end of its leases."""
        self.send(signal.SIGKILL)
        self.wait()
        end_leases(self.pid)

    def _has_ended(self) -> bool:
        return not self._reader.is_alive()

    def _read(self) -> None:
        output = self.process.stdout
        if output is None:
            return
        while line := output.readline():
            with self._printed:
                self.lines.append(line.decode("utf-8", "replace").rstrip())
                self._printed.notify_all()
        with self._printed:
            self._printed.notify_all()


def freeze(pid: int) -> None:
    """Let a process stand still: not in the middle of a write, which on SQLite would keep everybody else from writing."""
    os.kill(pid, signal.SIGSTOP)
    while connection.vendor == "sqlite" and not _can_write():
        os.kill(pid, signal.SIGCONT)
        wait_until(_can_write, "its write ends")
        os.kill(pid, signal.SIGSTOP)


def other_sessions() -> int:
    """How many are in the database beside ours; a server may take a moment to see that a program is gone."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT count(*)
              FROM pg_stat_activity
             WHERE datname = current_database()
               AND pid <> pg_backend_pid()
            """
        )
        return int(cursor.fetchone()[0])


def _can_write() -> bool:
    with closing(sqlite3.connect(connection.settings_dict["NAME"], timeout=1, isolation_level=None)) as other:
        with suppress(sqlite3.OperationalError):
            other.execute("BEGIN IMMEDIATE")
        return other.in_transaction


def end_leases(pid: int) -> None:
    """Let it be time for the leases of a worker to end, which is gone or frozen, and renews none."""
    held = Run.objects.in_state("running").filter(worker__contains=f":{pid}:")
    held.update(lease_until=timezone.now())


def wait_until(happened: Callable[[], object], what: str, *, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until *happened* is true, where nobody calls us."""
    until = monotonic() + seconds
    pause = threading.Event()
    while not happened():
        assert monotonic() < until, f"it did not happen: {what}"
        pause.wait(0.02)
