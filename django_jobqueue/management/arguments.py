"""Arguments of commands: what they mean, and what is refused. Those that several commands take are declared here."""

from __future__ import annotations

import re
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from django.conf import settings
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from django_jobqueue.errors import PayloadError, shown
from django_jobqueue.jobs.moments import HORIZON
from django_jobqueue.payloads import decode_json

N = TypeVar("N", int, float)

NUMBERS: dict[type, str] = {int: "a whole number", float: "a number"}

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "": 1}

_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+|\d+(?:\.\d+)?")
_PART = re.compile(r"([\d.]+)([smhdw]?)")


def add_format(parser: ArgumentParser) -> None:
    """Let the user choose in which format the answer comes."""
    parser.add_argument(
        "--format",
        choices=["text", "json", "csv"],
        default="text",
        help="Answer with text for people, one JSON document, or comma-separated values. Default: text.",
    )


def add_reason(parser: ArgumentParser) -> None:
    parser.add_argument("--reason", default="", metavar="TEXT", help="Why; it is recorded with your name.")


def add_no_input(parser: ArgumentParser) -> None:
    parser.add_argument("--no-input", "--noinput", action="store_false", dest="interactive", help="Do not ask first.")


def number(kind: type[N], least: N, most: N) -> Callable[[str], N]:
    """Parse a number from *least* to *most*."""

    def parse(text: str) -> N:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not least <= value <= most:  # NaN is neither
            raise ArgumentTypeError(f"must be {NUMBERS[kind]} from {least} to {most}, got {shown(text)}.")
        return value

    return parse


def path_of_file(text: str) -> Path:
    """Parse the path of a file that may be there, or be made."""
    path = Path(text)
    if path.is_dir():
        raise ArgumentTypeError(f"must be a file, and '{path}' is a folder.")
    if not path.parent.is_dir():
        raise ArgumentTypeError(f"must be in a folder that exists, and '{path.parent}' does not.")
    return path


def duration(text: str) -> float:
    """Parse 90, 90s, 5m, 1h30m, 2d or 1w, in seconds."""
    if not _DURATION.fullmatch(text) or not text.isascii():
        raise ArgumentTypeError(f"must be a duration such as 90, 45s, 5m, 1h30m or 2d, got {shown(text)}.")
    seconds = sum(float(amount) * SECONDS[unit] for amount, unit in _PART.findall(text))
    if seconds > HORIZON.total_seconds():
        raise ArgumentTypeError(f"must be at most ten years, got {shown(text)}.")
    return seconds


def moment(text: str) -> datetime:
    """Parse ISO-8601 text, in the project's time zone where it names none, or "now"."""
    if text == "now":
        return timezone.now()
    try:
        when = parse_datetime(text)
    except ValueError:
        when = None
    if when is None:
        raise ArgumentTypeError(f'must be "now" or a moment such as 2030-02-28T09:00, got {shown(text)}.')
    return timezone.make_aware(when) if timezone.is_naive(when) and settings.USE_TZ else when


def moment_or_age(text: str) -> datetime:
    """Parse what ``moment`` parses, or how long ago it was, as ``duration`` parses it."""
    if not _DURATION.fullmatch(text):
        return moment(text)
    return timezone.now() - timedelta(seconds=duration(text))


def past_or_age(text: str) -> datetime:
    """Parse what ``moment_or_age`` parses, if it is not yet to come."""
    when = moment_or_age(text)
    if timezone.is_aware(when) == settings.USE_TZ and when > timezone.now():
        raise ArgumentTypeError(f"must not be in the future, got {shown(text)}.")
    return when


def json_object(text: str) -> dict[str, Any]:
    """Parse a JSON object."""
    try:
        value = decode_json(text, root="JSON")
    except PayloadError as error:
        raise ArgumentTypeError(str(error).removeprefix("JSON: ")) from None
    if not isinstance(value, dict):
        raise ArgumentTypeError(f"must be a JSON object, got {shown(text)}.")
    return value
