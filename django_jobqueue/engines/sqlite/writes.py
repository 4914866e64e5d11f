"""Writes: how the system tells that a file is written, so that nobody needs to look again and again."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from select import POLLIN, poll
from typing import Self

IN_MODIFY = 0x2
SIZE = 65536
"""More than the system keeps of what nobody has read: the same event again is no other."""


class Writes:
    """Waits for writes to files. Linux tells of them, by inotify."""

    def __init__(self, inotify: int) -> None:
        self._inotify = inotify
        self._poll = poll()
        self._poll.register(inotify, POLLIN)

    @classmethod
    def to(cls, files: Sequence[str]) -> Self | None:
        """Those to *files*; None where there are none, or where the system does not tell of them, or not to so many."""
        if sys.platform != "linux" or not files:
            return None
        library = ctypes.CDLL(None)
        inotify = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if inotify < 0:
            return None
        for file in files:
            if library.inotify_add_watch(inotify, os.fsencode(file), IN_MODIFY) < 0:
                os.close(inotify)
                return None
        return cls(inotify)

    def wait(self, seconds: float) -> bool:
        """Wait so long at most, and answer whether somebody has written since the last time."""
        if not self._poll.poll(seconds * 1000):
            return False
        os.read(self._inotify, SIZE)
        return True

    def close(self) -> None:
        os.close(self._inotify)
