"""A clock of its own for some programs, which can be put forward and back. It needs a C compiler, and no rights."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

SOURCE = Path(__file__).with_name("clock.c")
COMPILER = shutil.which("cc")


class Clock:
    """Goes right, until it is ``put``. It is the clock of programs that are started with its ``environment``."""

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="jobqueue-clock-", dir="/tmp"))
        self._folder.chmod(0o755)  # a PostgreSQL of root runs as somebody else
        self._library, self._shift = self._folder / "clock.so", self._folder / "shift"
        assert COMPILER is not None
        subprocess.run([COMPILER, "-shared", "-fPIC", "-O2", "-o", self._library, SOURCE], check=True)
        self.put(0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        shutil.rmtree(self._folder)

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self._library), "JOBQUEUE_CHAOS_CLOCK": str(self._shift)}

    def put(self, seconds: int) -> None:
        """Be so many seconds ahead of the real time, or behind it."""
        draft = self._shift.with_suffix(".new")
        draft.write_text(str(seconds))
        draft.replace(self._shift)
