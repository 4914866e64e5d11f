"""Programs: commands of ``manage.py`` that run beside the demo."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Condition, Thread
from typing import Self, TextIO

MANAGE = Path(__file__).resolve().parents[1] / "manage.py"


class DemoFailed(Exception):
    """Something did not work as it should; the message says what."""


class Program:
    """One command in a process of its own, which ends with the block. *tell* is called with each line that it prints."""

    def __init__(self, *arguments: str, tell: Callable[[str], None]) -> None:
        self.name = f"manage.py {arguments[0]}"
        self.lines: list[str] = []
        self._arguments = arguments
        self._tell = tell
        self._printed = Condition()
        self._ended = False

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-X", "utf8", "-u", str(MANAGE), *self._arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # the terminal's Ctrl-C is for the demo alone, which then stops its programs
        )
        self._reader = Thread(target=self._read, args=[self._process.stdout], daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop(seconds=15)

    def stop(self, *, seconds: float) -> int:
        """Ask it to end, by SIGTERM, and return its exit code; kill it when it takes too long."""
        self._process.terminate()
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
        finally:
            self._reader.join()

    def check(self) -> None:
        """Raise DemoFailed if it is not running any more."""
        if self._process.poll() is not None:
            self._reader.join()
            last_words = "\n".join(self.lines[-20:])
            raise DemoFailed(f"{self.name} ended with exit code {self._process.returncode}.\n{last_words}")

    def wait_for(self, pattern: str, *, seconds: float) -> re.Match[str]:
        """Wait until it prints something that matches, and return the match."""

        def found() -> re.Match[str] | None:
            return re.search(pattern, "\n".join(self.lines))

        with self._printed:
            self._printed.wait_for(lambda: found() or self._ended, seconds)
        match = found()
        if match is None:
            self.check()
            raise DemoFailed(f"{self.name} was not ready within {seconds:.0f} seconds.")
        return match

    def _read(self, output: TextIO) -> None:
        with output:
            for line in output:
                with self._printed:
                    self.lines.append(line.rstrip())
                    self._printed.notify_all()
                self._tell(line.rstrip())
        with self._printed:
            self._ended = True
            self._printed.notify_all()
