"""Cleanup: how long what is over is kept."""

from __future__ import annotations

from dataclasses import dataclass, field

from django_jobqueue.conf import options
from django_jobqueue.conf.options import parsed_by, parsers_of
from django_jobqueue.states import FINAL_STATES, State

DAY_SECONDS = 86400.0
LONGEST_SECONDS = 100 * 366 * DAY_SECONDS

_seconds = options.optional(options.number(0, LONGEST_SECONDS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleanup:
    """How long ended runs of a queue are kept."""

    completed_after_seconds: float | None = field(default=7 * DAY_SECONDS, metadata=parsed_by(_seconds))
    """Seconds after its end when a completed run is purged: 0 for at once, None for never."""

    failed_after_seconds: float | None = field(default=30 * DAY_SECONDS, metadata=parsed_by(_seconds))
    """Seconds after its end when a failed, dead-lettered or cancelled run is purged: 0 for at once, None for never."""

    def seconds_after(self, state: State) -> float | None:
        """How long a run is kept that has ended in *state*; None for ever."""
        return self.completed_after_seconds if state == State.COMPLETED else self.failed_after_seconds

    def purges_at_once(self, state: State) -> bool:
        """Whether nothing is kept of a run that has ended in *state*."""
        return state in FINAL_STATES and self.seconds_after(state) == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectCleanup:
    """How long to keep what belongs to no queue."""

    activities_after_seconds: float | None = field(default=365 * DAY_SECONDS, metadata=parsed_by(_seconds))
    """Seconds after which the record of who did what is deleted: 0 for at once, None for never."""


def parse_cleanup(path: str, value: object) -> Cleanup:
    """Parse the mapping of a queue's cleanup options."""
    return Cleanup(**options.section(path, value, parsers_of(Cleanup)))


def parse_project_cleanup(path: str, value: object) -> ProjectCleanup:
    """Parse the mapping of the project's cleanup options."""
    return ProjectCleanup(**options.section(path, value, parsers_of(ProjectCleanup)))
