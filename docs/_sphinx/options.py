"""The options of a dataclass, as the settings reference shows them: name, type, default, meaning.

The meaning is the docstring below the field, which only the source has.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from enum import Enum
from itertools import pairwise
from textwrap import dedent
from typing import Any

from django_jobqueue import conf
from django_jobqueue.retry import Backoff

SECTIONS: dict[str, type[Any]] = {
    "project": conf.Config,
    "worker": conf.WorkerConfig,
    "project-cleanup": conf.ProjectCleanup,
    "queue": conf.QueueConfig,
    "cleanup": conf.Cleanup,
    "job": conf.JobOptions,
    "job-in-settings": conf.JobConfig,
    "preflight": conf.Preflight,
    "backoff": Backoff,
    "schedule": conf.ScheduleOptions,
    "schedule-in-settings": conf.ScheduleConfig,
}
"""The dataclass behind each mapping in the settings."""

TYPES = {
    "Mapping[str, QueueConfig]": "mapping of names to queue options",
    "Mapping[str, JobConfig]": "mapping of names to jobs",
    "WorkerConfig": "mapping of worker options",
    "Backoff": "mapping of backoff options",
    "Cleanup": "mapping of cleanup options",
    "ProjectCleanup": "mapping of cleanup options",
    "Preflight": "mapping of preflight options",
    "Function | None": "function | str | None",
    "Reach | None": '"pending" | "live" | int | None',
    "PayloadKey | None": "str | list of str | function | None",
    "Mapping[int, Function]": "mapping of versions to function | str",
    "tuple[ErrorClass, ...]": "list of exception | str",
    "tuple[ErrorClass, ...] | None": "list of exception | str | None",
    "type[Any] | str | None": "type | str | None",
    "Mapping[str, ScheduleOptions]": "cron line, mapping of schedule options, or list of these",
    "Mapping[str, ScheduleConfig]": "mapping of names to schedules",
    "Mapping[str, Any] | Function": "mapping | function | str",
    "datetime | None": "datetime | ISO-8601 text | None",
    "Misfire": '"fire_once" | "skip" | "catch_up"',
    "Overlap": '"allow" | "skip" | "queue"',
    "Delivery": '"at_least_once" | "at_most_once"',
    "Mode": '"fixed" | "exponential" | "custom"',
    "tuple[float, ...]": "list of float",
    "tuple[str, ...]": "list of str",
}
"""What one writes in the settings, where that is not the type of the field."""

NAMED_DEFAULTS = {
    ("queue", "lease_seconds"): "that of worker",
    ("project", "worker"): "{}",
    ("project", "cleanup"): "{}",
    ("queue", "cleanup"): "{}",
    ("job", "backoff"): "{}",
    ("job", "preflight"): "{}",
    ("job", "schedule"): "[]",
    ("schedule-in-settings", "job"): "must be given",
}
"""Defaults that are no plain value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option, in words."""

    name: str
    type: str
    default: str
    meaning: str
    """As in the source: paragraphs, with words of code in double backticks."""


def options_of(section: str) -> Iterator[Option]:
    """The options of a *section*, in the order of the source. Raises LookupError for one without a docstring."""
    kind = SECTIONS[section]
    meanings = _docstrings(kind)
    for field in fields(kind):
        if kind is not Backoff and "parse" not in field.metadata:
            continue  # no option, but where parsed ones are kept
        if field.name not in meanings:
            raise LookupError(f"{kind.__name__}.{field.name} has no docstring, so nobody can look it up.")
        annotation = str(field.type)
        yield Option(
            name=field.name,
            type=TYPES.get(annotation, annotation),
            default=NAMED_DEFAULTS.get((section, field.name)) or _default(field),
            meaning=meanings[field.name],
        )


def _docstrings(kind: type[Any]) -> dict[str, str]:
    """The text below each field of *kind*, by name."""
    tree = ast.parse(dedent(inspect.getsource(kind)))
    defined = next(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    found = {}
    for above, below in pairwise(defined.body):
        match above, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = inspect.cleandoc(text)
    return found


def _default(field: Field[Any]) -> str:
    value = field.default
    if value is MISSING:
        value = {} if field.default_factory is MISSING else field.default_factory()
    if isinstance(value, Enum):
        value = value.value
    if is_dataclass(value):
        raise LookupError(f"Say in NAMED_DEFAULTS what the default of {field.name!r} is.")
    if isinstance(value, tuple):
        value = list(value)
    if isinstance(value, float):
        return f"{value:g}"
    return f'"{value}"' if isinstance(value, str) else repr(value)
