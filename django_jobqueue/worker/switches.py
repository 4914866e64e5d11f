"""Switches: how soon a thread of a worker gets its turn, while others compute."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

SWITCH_SECONDS = 0.001
"""A fifth of what Python grants a thread that computes: the main thread waits for its turn after each statement, and the
database waits for the main thread."""


@contextmanager
def quick_switches() -> Iterator[None]:
    """Let no thread of this process compute for longer, while another one could."""
    before = sys.getswitchinterval()
    if before <= SWITCH_SECONDS:
        yield
        return
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
