"""The end of the process of a worker. Python waits for the threads that jobs have left behind; we do not, for ever."""

from __future__ import annotations

import logging
import os
import threading

logger = logging.getLogger(__name__)

TELL_SECONDS = 0.5
"""At most, to say what is broken off. A thread may hang in the middle of a line, so that nobody can say anything any more."""


def end_within(seconds: float, code: int) -> None:
    """Let this process end with *code* in so many seconds, even if it has not come to its end by itself."""
    telling, told = threading.Event(), threading.Event()

    def tell() -> None:
        telling.set()
        _tell()
        told.set()

    def end() -> None:
        telling.wait()
        told.wait(TELL_SECONDS)
        os._exit(code)

    for thread in (threading.Timer(seconds, tell), threading.Thread(target=end)):
        thread.daemon, thread.name = True, "jobqueue-ending"
        thread.start()


def _tell() -> None:
    names = [thread.name for thread in threading.enumerate() if not thread.name.startswith("jobqueue-")]
    logger.warning("This process does not come to its end by itself, and is ended. Its threads: %s.", ", ".join(names))
