"""What ``runjobs`` prints of what is logged: lines like its others, where the project sends it nowhere."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Literal, TextIO

from django_jobqueue.management.printable import printable_lines


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


@contextmanager
def printing_what_is_logged(stream: TextIO | None, log_format: Literal["text", "json"]) -> Iterator[None]:
    """While the body runs, warnings and errors that no handler of the project takes are printed in this format."""
    last_resort = logging.lastResort
    if stream is not None:
        logging.lastResort = logging.StreamHandler(stream)
        logging.lastResort.setLevel(logging.WARNING)
        logging.lastResort.setFormatter(JSONFormatter() if log_format == "json" else TextFormatter())
    try:
        yield
    finally:
        logging.lastResort = last_resort
