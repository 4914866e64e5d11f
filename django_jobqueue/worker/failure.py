"""Failures as text: what is kept of an exception, whatever the exception is like."""

from __future__ import annotations

import traceback

MAX_ERROR = 2_000
"""Characters of the one-line description that are kept."""

MAX_TRACEBACK = 64 * 1024
"""Characters of the traceback that are kept: its end, which names the culprit."""


def error_text(error: BaseException) -> str:
    """*error* on one line: its type and its message."""
    try:
        message = str(error)
    except BaseException as broken:  # anybody's __str__
        message = f"(its text cannot be told: {type(broken).__name__})"
    name = type(error).__qualname__
    message = " ".join(message.split())
    return storable(f"{name}: {message}" if message else name)[:MAX_ERROR]


def traceback_text(error: BaseException) -> str:
    """The traceback of *error*, from the first frame of the job on."""
    first = error.__traceback__
    frames = first.tb_next if first is not None and first.tb_next is not None else first
    try:
        text = "".join(traceback.format_exception(type(error), error, frames))
    except BaseException as broken:
        text = f"{error_text(error)}\n(its traceback cannot be told: {type(broken).__name__})"
    text = storable(text)
    return text if len(text) <= MAX_TRACEBACK else f"(cut)\n{text[-MAX_TRACEBACK:]}"


def storable(text: str) -> str:
    """*text* with what no database stores made visible: NUL, and surrogates without their pair."""
    return text.replace("\0", "\ufffd").encode("utf-8", "backslashreplace").decode()
