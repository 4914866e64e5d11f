"""The end of the process of a worker. Python waits for the threads that jobs have left behind; we do not, for ever."""

from __future__ import annotations

import logging
import os
import threading

logger = logging.getLogger(__name__)

TELL_SECONDS = 0.5
"""To say what is broken off. A thread may hang in the middle of a line, so that nobody can say anything any more."""


def end_within(seconds: float, code: int) -> None:
    """Let this process end with *code* in so many seconds, even if it has not come to its end by itself."""
    for after, call, arguments in ((seconds, _tell, []), (seconds + TELL_SECONDS, os._exit, [code])):
        timer = threading.Timer(after, call, arguments)
        timer.daemon, timer.name = True, "jobqueue-ending"
        timer.start()


def _tell() -> None:
    names = [thread.name for thread in threading.enumerate() if not thread.name.startswith("jobqueue-")]
    logger.warning("This process does not come to its end by itself, and is ended. Its threads: %s.", ", ".join(names))
