"""What a worker and its children print of what is logged: lines like their others, where the project sends it nowhere."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TextIO

from django_jobqueue.printable import printable_lines


class TextFormatter(logging.Formatter):
    """The time, a mark, and the message on one line; below it a traceback."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s ! %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (the name is logging's)
        return " ".join(super().formatMessage(record).split())

    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(super().format(record))


class JSONFormatter(logging.Formatter):
    """An object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "event": "logged",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "traceback": self.formatException(record.exc_info) if record.exc_info else None,
        }
        return json.dumps(line)


FORMATTERS: dict[str, type[logging.Formatter]] = {"text": TextFormatter, "json": JSONFormatter}


class LastResort(logging.StreamHandler[TextIO]):
    """Prints warnings and errors that no handler of the project takes."""

    def __init__(self, stream: TextIO, log_format: str) -> None:
        super().__init__(stream)
        self.log_format = log_format
        self.setLevel(logging.WARNING)
        self.setFormatter(FORMATTERS[log_format]())


@contextmanager
def printing_what_is_logged(stream: TextIO | None, log_format: str) -> Iterator[None]:
    """While the body runs, warnings and errors that no handler of the project takes are printed in this format, if any."""
    last_resort = logging.lastResort
    if stream is not None and log_format:
        logging.lastResort = LastResort(stream, log_format)
    try:
        yield
    finally:
        logging.lastResort = last_resort


def log_format() -> str:
    """In which format this process prints that; empty, if it leaves that to Python."""
    return logging.lastResort.log_format if isinstance(logging.lastResort, LastResort) else ""
