"""Preflight: the questions that come before a run."""

from __future__ import annotations

from dataclasses import dataclass, field

from django_jobqueue.conf import options
from django_jobqueue.conf.options import Function, parsed_by, parsers_of

DAY_SECONDS = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """Who is asked before a run of a job is added, and before it is started."""

    on_before_add: Function | None = field(default=None, metadata=parsed_by(options.optional(options.function)))
    """A function, or the dotted path of one, that is called with what is about to be added, a ``NewRun``. If it returns
    ``False``, nothing is added; anything but ``True`` and ``False`` is an error."""

    okay_to_run: Function | None = field(default=None, metadata=parsed_by(options.optional(options.function)))
    """A function, or the dotted path of one, that is called before each attempt with the payload and the ``RunContext``.
    If it returns ``False``, the run is put back; anything but ``True`` and ``False`` is a failure of the attempt."""

    requeue_delay_seconds: float = field(default=10.0, metadata=parsed_by(options.number(0, DAY_SECONDS)))
    """Seconds for which a run that ``okay_to_run`` refuses is put back, from 0 to 86400."""


def parse_preflight(path: str, value: object) -> Preflight:
    """Parse the mapping of preflight options."""
    return Preflight(**options.section(path, value, parsers_of(Preflight)))
