"""Progress: how far a command has come that takes long, for a person who waits."""

from __future__ import annotations

from time import monotonic

from django.core.management.base import OutputWrapper

EVERY_SECONDS = 1.0


class Progress:
    """Writes a line now and then: over the last one on a terminal; elsewhere below it, and only where much is asked for."""

    def __init__(self, out: OutputWrapper, verbosity: int) -> None:
        self._out = out
        self._overwrites = out.isatty()
        self._is_wanted = verbosity >= (1 if self._overwrites else 2)
        self._due_at = monotonic() + EVERY_SECONDS
        self._width = 0

    def tell(self, text: str) -> None:
        """Write *text*, if it is time."""
        if not self._is_wanted or monotonic() < self._due_at:
            return
        self._due_at = monotonic() + EVERY_SECONDS
        if self._overwrites:
            self._write(f"\r{text.ljust(self._width)}")
            self._width = len(text)
        else:
            self._write(f"{text}\n")

    def end(self) -> None:
        """Leave no line on the terminal that is half of one."""
        if self._width:
            self._write(f"\r{' ' * self._width}\r")

    def _write(self, text: str) -> None:
        self._out.write(text, lambda text: text, ending="")
        self._out.flush()
