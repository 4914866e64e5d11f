"""Text of unknown origin, made fit to be printed: an error may say anything, also to a terminal."""

from __future__ import annotations

import re

# Controls, lone surrogates, separators of lines, and what turns the direction of text.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_UNPRINTABLE_IN_LINES = re.compile(_UNPRINTABLE.pattern.replace("\x00-\x1f", "\x00-\x08\x0b-\x1f"))


def printable(text: str) -> str:
    """*text* on one line, where whatever a terminal would obey is told as an escape sequence of Python."""
    return _UNPRINTABLE.sub(_told, text)


def printable_lines(text: str) -> str:
    """*text* as ``printable`` tells it, but with its lines and tabs."""
    return _UNPRINTABLE_IN_LINES.sub(_told, text)


def encodable(text: str, out: object) -> str:
    """*text* in what the encoding of *out* can write."""
    encoding = getattr(out, "encoding", None) or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


def _told(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
