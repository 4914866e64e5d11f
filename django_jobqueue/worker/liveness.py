"""The liveness file: tells those who cannot look into a process, and should not ask the database, that it lives."""

from __future__ import annotations

import logging
from contextlib import suppress
from glob import escape
from pathlib import Path
from time import monotonic

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 1.0


class LivenessFile:
    """A file that is touched about every second while the main loop of a process turns; None for nowhere."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._touch_at = 0.0
        self._told = False

    def touch(self) -> None:
        """Say that we live. Where the file cannot be written, that is logged once: work goes on."""
        if self._path is None or monotonic() < self._touch_at:
            return
        self._touch_at = monotonic() + INTERVAL_SECONDS
        try:
            self._path.touch()
        except OSError as error:
            if not self._told:
                logger.error("The liveness file cannot be written: %s", error)  # the line says it all
            self._told = True

    def remove(self) -> None:
        """Say that we have ended."""
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def remove_those_of_workers(self) -> None:
        """Forget the workers of a supervisor that was killed: it may have had more of them than this one."""
        for path in files_of_workers(self._path) if self._path is not None else ():
            with suppress(OSError):
                path.unlink(missing_ok=True)


def files_of_workers(path: Path) -> list[Path]:
    """The files that are there of the workers whose supervisor has this *path*: each has its number at the end."""
    return sorted(file for file in path.parent.glob(f"{escape(path.name)}.*") if file.suffix[1:].isdigit())
