"""Failures as text: what is kept of an exception, whatever the exception is like."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TypeAlias

from django_jobqueue.payloads import storable

MAX_ERROR = 2_000
"""Characters of the one-line description that are kept."""

MAX_TRACEBACK = 64 * 1024
"""Bytes, in UTF-8, of the traceback that are kept: its end, which names the culprit."""

MAX_READ = 4 * MAX_TRACEBACK
"""Characters of a text that are looked through for secrets, because that takes time; more are not kept anyway."""

Hide: TypeAlias = Callable[[str], str]
"""Takes the secrets out of a text."""

OURS = "django_jobqueue."
"""How the names of our modules begin, which lead to the job, and are no part of the story."""


def error_text(error: BaseException, hide: Hide) -> str:
    """*error* on one line: its type and its message."""
    try:
        message = str(error)
    except BaseException as broken:  # anybody's __str__
        message = f"(its text cannot be told: {type(broken).__name__})"
    name = type(error).__qualname__
    return one_line(f"{name}: {message}" if message.strip() else name, hide)


def one_line(text: str, hide: Hide) -> str:
    """*text* as the description of an error."""
    return storable(" ".join(hide(text[:MAX_READ]).split()))[:MAX_ERROR]


def traceback_text(error: BaseException, hide: Hide) -> str:
    """The traceback of *error*, from the first frame of the job on."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__", "").startswith(OURS):
        frames = frames.tb_next
    try:
        text = "".join(traceback.format_exception(type(error), error, frames))
    except BaseException as broken:
        text = f"{error_text(error, hide)}\n(its traceback cannot be told: {type(broken).__name__})"
    return _end_of(storable(hide(text[-MAX_READ:])))


def _end_of(text: str) -> str:
    """As much of *text* as is kept."""
    encoded = text.encode()
    if len(encoded) <= MAX_TRACEBACK:
        return text
    return "(cut)\n" + encoded[-MAX_TRACEBACK:].decode(errors="ignore")
