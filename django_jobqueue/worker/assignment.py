"""Assignments: what a worker gives an executor to do."""

from __future__ import annotations

from typing import NamedTuple

from django_jobqueue.engines.base import Claim
from django_jobqueue.jobs import JobDefinition, Notes

HARD_TIMEOUT_AFTER_SECONDS = 10.0
"""How long an attempt may go on after its timeout, where its job says nothing."""


class Assignment(NamedTuple):
    """What an attempt needs."""

    claim: Claim
    job: JobDefinition
    notes: Notes | None = None
    """What passes between the job and its worker; new where none are given."""

    @property
    def timeout_seconds(self) -> float | None:
        """After which the job is told that its time is over."""
        given = self.claim.timeout_seconds
        return self.job.options.timeout_seconds if given is None else given

    @property
    def hard_timeout_seconds(self) -> float | None:
        """After which the attempt is cut off: a timeout that the run brings along moves this one too."""
        soft, options = self.timeout_seconds, self.job.options
        if soft is None:
            return None
        if options.timeout_seconds is None or options.hard_timeout_seconds is None:
            return soft + HARD_TIMEOUT_AFTER_SECONDS
        return soft + options.hard_timeout_seconds - options.timeout_seconds
