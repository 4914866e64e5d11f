"""The codes with which a worker, or its supervisor, ends the process. 1 is left to what keeps it from beginning."""

from __future__ import annotations

EXIT_DONE = 0
"""Drained, or stopped within the grace."""
EXIT_FORCED = 3
"""Stopped before all was accounted for in order."""
EXIT_RECYCLE = 75
"""A program that ends with this wants to be started again at once."""
