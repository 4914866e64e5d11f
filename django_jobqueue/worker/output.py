"""The output of a process: all its jobs share it, at once or one after the other."""

from __future__ import annotations

import sys


def keep_output_open() -> None:
    """Let no job close it. For a process that is there for jobs alone."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # a daemon may be started without any
            stream.close = stream.flush  # type: ignore[method-assign]
