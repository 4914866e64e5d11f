"""The codes with which a worker, or its supervisor, ends the process."""

from __future__ import annotations

EXIT_DONE = 0
"""Drained, or stopped within the grace."""
EXIT_ERROR = 1
"""Something has kept it from beginning, or an error of our own has ended it."""
EXIT_FORCED = 3
"""Stopped before all was accounted for in order."""
EXIT_RECYCLE = 75
"""A program that ends with this wants to be started again at once."""
